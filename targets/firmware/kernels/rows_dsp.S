/* The loops of dsp.h on split inputs. Counted per 16 MACs of a quad: 1 load of
 * inputs, 1 of weights, 4 sign extensions, 8 SMLAD. */
#include "finish_dsp.inc"

    .syntax unified
    .thumb
    .text


    .set WEIGHTS, 0                     /* of sluice_dsp_layer_t */
    .set CONSTANTS, 4
    .set SPLIT, 8
    .set SPLIT_END, 12
    .set BIAS2, 16

/* The four inputs of word \n: -u for both pairs in \u, n in \n. */
.macro SPLIT_WORD u, n
    eor     \n, r12
    uxtb16  \u, \n
    ssub16  \u, lr, \u
.endm

    .section .text.sluice_dsp_split, "ax", %progbits
    .global sluice_dsp_split
    .type   sluice_dsp_split, %function
    .p2align 2
sluice_dsp_split:
    push    {r4-r7, lr}
    mov     lr, #0
    mov     r12, #0x00800080
    lsrs    r3, r1, #1
    beq     2f
1:
    ldm     r0!, {r5, r7}
    SPLIT_WORD r4, r5
    SPLIT_WORD r6, r7
    stm     r2!, {r4-r7}
    subs    r3, #1
    bne     1b
2:
    tst     r1, #1
    beq     3f
    ldr     r5, [r0]
    SPLIT_WORD r4, r5
    strd    r4, r5, [r2]
3:
    pop     {r4-r7, pc}
    .size   sluice_dsp_split, . - sluice_dsp_split

/* Four inputs, in r6 and r7, of one row whose weights are in \word. */
.macro FOUR_INPUTS sum, word
    sxtb16  r12, \word
    smlad   \sum, \word, r6, \sum
    smlad   \sum, r12, r7, \sum
.endm

.macro EIGHT_OF_A_QUAD
    .rept   2
    ldrd    r6, r7, [r1], #8
    ldm     r0!, {r8-r11}
    FOUR_INPUTS r2, r8
    FOUR_INPUTS r3, r9
    FOUR_INPUTS r4, r10
    FOUR_INPUTS r5, r11
    .endr
.endm

    .section .text.sluice_dsp_quads, "ax", %progbits
    .global sluice_dsp_quads
    .type   sluice_dsp_quads, %function
    .p2align 2
sluice_dsp_quads:
    push    {r4-r11, lr}
    ldrd    r4, r5, [r0, #CONSTANTS]    /* and the split inputs */
    ldr     lr, [r0, #SPLIT_END]
    ldr     r3, [r0, #BIAS2]
    sub     r7, lr, r5
    adr     r6, 2f
    tst     r7, #16                     /* an odd number of eights begins half-way */
    it      ne
    adrne   r6, 3f
    orr     r6, #1                      /* Thumb */
    push    {r1-r6}                     /* y, y_end, bias2, constants, split, where to begin */
    ldr     r0, [r0, #WEIGHTS]
    .p2align 2
1:
    ldrd    r12, r1, [sp, #12]
    ldm     r12, {r2-r5}
    ldr     pc, [sp, #20]
    .p2align 2
2:
    EIGHT_OF_A_QUAD
    .p2align 2
3:
    EIGHT_OF_A_QUAD
    cmp     r1, lr
    bne     2b
    ldrd    r1, r12, [sp, #8]
    ldm     r12!, {r6-r9}
    ldm     r12!, {r10, r11}
    FINISH  r2, r6, r10, r1
    FINISH  r3, r7, r11, r1
    ldm     r12!, {r10, r11}
    str     r12, [sp, #12]
    FINISH  r4, r8, r10, r1
    FINISH  r5, r9, r11, r1
    ldrd    r6, r7, [sp]
    strb    r2, [r6], #1
    strb    r3, [r6], #1
    strb    r4, [r6], #1
    strb    r5, [r6], #1
    str     r6, [sp]
    cmp     r6, r7
    bne     1b
    add     sp, #24
    pop     {r4-r11, pc}
    .size   sluice_dsp_quads, . - sluice_dsp_quads

/* Eight inputs, in r7 to r10, of one row. */
.macro EIGHT_INPUTS row, sum
    ldm     \row!, {r11, r12}
    sxtb16  lr, r11
    smlad   \sum, r11, r7, \sum
    smlad   \sum, lr, r8, \sum
    sxtb16  lr, r12
    smlad   \sum, r12, r9, \sum
    smlad   \sum, lr, r10, \sum
.endm

/* \sum of the row whose constants are at r12 + 8 * \row, to its place. */
.macro FINISH_ROW sum, row
    add     r9, r12, \row, lsl #3
    ldrd    r10, r11, [r9]
    FINISH  \sum, r10, r11, r2
    strb    \sum, [lr, \row]
.endm

    .section .text.sluice_dsp_rows, "ax", %progbits
    .global sluice_dsp_rows
    .type   sluice_dsp_rows, %function
    .p2align 2
sluice_dsp_rows:
    push    {r4-r11, lr}
    ldm     r0, {r4-r8}                 /* weights, constants, split, split_end, bias2 */
    sub     r9, r7, r6
    lsr     r9, #1                      /* bytes a row */
    mov     r10, r8
    push    {r1-r10}                    /* open, open_end, y, then as above */
    .p2align 2
1:
    ldr     r12, [sp]
    ldrh    r7, [r12], #2
    ldrh    r8, [r12], #2
    ldrh    r9, [r12], #2
    str     r12, [sp]
    ldrd    r10, r11, [sp, #12]         /* weights, constants */
    ldr     r6, [sp, #20]
    ldr     r12, [sp, #32]
    mla     r0, r7, r12, r10
    mla     r1, r8, r12, r10
    mla     r2, r9, r12, r10
    ldr     r3, [r11, r7, lsl #3]
    ldr     r4, [r11, r8, lsl #3]
    ldr     r5, [r11, r9, lsl #3]
    .p2align 2
2:
    .rept   2
    ldm     r6!, {r7-r10}
    EIGHT_INPUTS r0, r3
    EIGHT_INPUTS r1, r4
    EIGHT_INPUTS r2, r5
    .endr
    ldr     lr, [sp, #24]
    cmp     r6, lr
    bne     2b
    ldrd    r0, r1, [sp]
    ldrh    r6, [r0, #-6]
    ldrh    r7, [r0, #-4]
    ldrh    r8, [r0, #-2]
    ldr     lr, [sp, #8]
    ldr     r12, [sp, #16]
    ldr     r2, [sp, #28]
    FINISH_ROW r3, r6
    FINISH_ROW r4, r7
    FINISH_ROW r5, r8
    cmp     r0, r1
    bne     1b
    add     sp, #40
    pop     {r4-r11, pc}
    .size   sluice_dsp_rows, . - sluice_dsp_rows
