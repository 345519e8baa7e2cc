/* The loop of helium.h on rows of their own, four at a time. Counted per 64 MACs:
 * 1 load of inputs, 4 of weights, 4 VMLADAVA. */
#include "finish_helium.inc"

    .syntax unified
    .thumb
    .text

    .set WEIGHTS, 0                     /* of sluice_pointwise_t */
    .set CONSTANTS, 4
    .set INPUTS, 8
    .set OUTPUTS, 10
    .set ZERO_POINT, 14

    .set BLOCK_BYTES, 9 * 4             /* the code of ONE_BLOCK */

.macro ONE_BLOCK
    vldrb.8 q0, [r10], #16
    vldrb.8 q1, [r1], #16
    vmladava.s8 r0, q0, q1
    vldrb.8 q2, [r3], #16
    vmladava.s8 r2, q0, q2
    vldrb.8 q1, [r5], #16
    vmladava.s8 r4, q0, q1
    vldrb.8 q2, [r7], #16
    vmladava.s8 r6, q0, q2
.endm

    .section .text.sluice_helium_rows, "ax", %progbits
    .global sluice_helium_rows
    .type   sluice_helium_rows, %function
    .p2align 2
sluice_helium_rows:
    push    {r4-r11, lr}
    ldr     r12, [sp, #36]              /* y */
    mov     r9, r2                      /* open */
    mov     r2, r3                      /* open_end */
    mov     r3, r1                      /* x */
    ldrsh   r11, [r0, #ZERO_POINT]
    ldrd    r5, r6, [r0, #WEIGHTS]      /* and the starts */
    ldrh    r4, [r0, #OUTPUTS]
    add     r7, r6, r4, lsl #2          /* multipliers */
    add     r8, r7, r4, lsl #2          /* shifts */
    ldrh    r1, [r0, #INPUTS]
    add     r1, #15
    bic     r1, #15                     /* bytes of a row */
    adr     r10, 2f + 1
    tst     r1, #16
    it      ne
    addne   r10, #BLOCK_BYTES           /* an odd number of blocks begins in the middle */
    add     r4, r1, #16
    lsr     r4, #5                      /* turns of two blocks */
    push    {r1-r8, r10, r11}
    .set    ROW_BYTES_AT, 0
    .set    OPEN_END_AT, 4
    .set    X_AT, 8                     /* and turns */
    .set    WEIGHTS_AT, 16
    .set    STARTS_AT, 20
    .set    MULTIPLIERS_AT, 24          /* and shifts */
    .set    ENTRY_AT, 32
    .p2align 2
1:
    mov     r0, r9
    vldrh.u32 q3, [r0], #8              /* the four rows, until the end */
    mov     r9, r0
    ldr     r0, [sp, #ROW_BYTES_AT]
    ldrd    r1, r2, [sp, #WEIGHTS_AT]   /* and the starts */
    vmul.i32 q0, q3, r0
    vadd.i32 q0, q0, r1
    vldrw.u32 q1, [r2, q3, uxtw #2]
    vmov    r1, r5, q0[2], q0[0]
    vmov    r3, r7, q0[3], q0[1]
    vmov    r0, r4, q1[2], q1[0]
    vmov    r2, r6, q1[3], q1[1]
    ldrd    r10, r8, [sp, #X_AT]        /* and turns */
    dls     lr, r8
    ldr     pc, [sp, #ENTRY_AT]
    .p2align 2
2:
    ONE_BLOCK
    ONE_BLOCK
    le      lr, 2b
    vmov    q0[2], q0[0], r0, r4
    vmov    q0[3], q0[1], r2, r6
    ldrd    r0, r1, [sp, #MULTIPLIERS_AT]
    vldrw.u32 q1, [r0, q3, uxtw #2]
    vqrdmulh.s32 q0, q0, q1
    ROUND_AWAY q0, q1
    vldrb.s32 q1, [r1, q3]
    vrshl.s32 q0, q0, q1
    vadd.i32 q0, q0, r11
    vqmovnb.s32 q0, q0
    vqmovnb.s16 q0, q0
    vstrb.32 q0, [r12, q3]
    ldr     r0, [sp, #OPEN_END_AT]
    cmp     r9, r0
    bne     1b
    add     sp, #40
    pop     {r4-r11, pc}
    .size   sluice_helium_rows, . - sluice_helium_rows
