/* The loops of helium.h on eight rows at a time. Counted per 128 MACs: 1 load of
 * inputs, 8 of weights, 8 VMLADAVA. */
#include "finish_helium.inc"

    .syntax unified
    .thumb
    .text

    .set WEIGHTS, 0                     /* of sluice_pointwise_t */
    .set CONSTANTS, 4
    .set INPUTS, 8
    .set ZERO_POINT, 14

    .set X, 0                           /* of sluice_helium_inputs_t */
    .set X_END, 4
    .set CORRECTION, 8

    .set BLOCK_BYTES, 17 * 4            /* the code of ONE_BLOCK */
    .set OPEN_BLOCK_BYTES, 19 * 4

/* While sums are formed: r0, r2 .. r12, lr are those of rows 0 to 7; r1 weights,
 * r3 x, r5 constants, r7 y, r9 x_end. */

.macro TWO_ROWS type, a, b, x
    vldrb.8 q1, [r1], #16
    vmladava.\type \a, \x, q1
    vldrb.8 q2, [r1], #16
    vmladava.\type \b, \x, q2
.endm

.macro EIGHT_ROWS type, x
    TWO_ROWS \type, r0, r2, \x
    TWO_ROWS \type, r4, r6, \x
    TWO_ROWS \type, r8, r10, \x
    TWO_ROWS \type, r12, lr, \x
.endm

.macro ONE_BLOCK type
    vldrb.8 q0, [r3], #16
    EIGHT_ROWS \type, q0
.endm

/* 128 inputs, the first 80 of them in q3 to q7 for all rows. r3 is x + 80, and r9 free. */
.macro TAKE_HELD
    vldrb.8 q3, [r3], #16
    vldrb.8 q4, [r3], #16
    vldrb.8 q5, [r3], #16
    vldrb.8 q6, [r3], #16
    vldrb.8 q7, [r3], #16
.endm

.macro EIGHT_BLOCKS_HELD
    .irp    x, q3, q4, q5, q6, q7
    EIGHT_ROWS s8, \x
    .endr
    .irp    at, 0, 16, 32
    vldrb.8 q0, [r3, #\at]
    EIGHT_ROWS s8, q0
    .endr
.endm

/* Where to begin in 8 blocks of code so that a whole number of turns ends at x_end:
 * r3 x and r9 x_end, both \step bytes a block; the address to r0. Uses r2. */
.macro FIND_ENTRY loop, step, code, turn
    sub     r0, r3, r9
    asr     r0, #\step
    and     r0, #(\turn - 1)
    mov     r2, #\code
    mul     r0, r2
    adr     r2, \loop
    add     r0, r2
    orr     r0, #1                      /* Thumb */
.endm

/* Rows 0, 2, 4, 6 to q0, the others to q1. */
.macro SUMS_TO_VECTORS
    vmov    q0[2], q0[0], r0, r8
    vmov    q0[3], q0[1], r4, r12
    vmov    q1[2], q1[0], r2, r10
    vmov    q1[3], q1[1], r6, lr
.endm

/* \zero_point: the output's, in all 16-bit lanes. */
.macro FINISH_OCTET zero_point, relu
    vldrw.32 q2, [r5], #16
    vqrdmulh.s32 q0, q0, q2
    vldrw.32 q2, [r5], #16
    vqrdmulh.s32 q1, q1, q2
.if \relu == 0
    ROUND_AWAY q0, q2
    ROUND_AWAY q1, q2
.endif
    vldrb.s32 q2, [r5], #4
    vrshl.s32 q0, q0, q2
    vldrb.s32 q2, [r5], #4
    vrshl.s32 q1, q1, q2
    SATURATE q0, q1, \zero_point
    vstrb.16 q0, [r7], #8
.endm

/* r6 weights, r5 constants, the output's zero point in all 16-bit lanes. */
.macro TAKE_LAYER zero_point
    ldrh    r12, [r0, #ZERO_POINT]
    vdup.16 \zero_point, r12
    ldrd    r6, r5, [r0, #WEIGHTS]
.endm

/* The inputs filled up to whole vectors, which is the bytes of a row. */
.macro TAKE_ROW_BYTES bytes
    ldrh    \bytes, [r0, #INPUTS]
    add     \bytes, #15
    bic     \bytes, #15
.endm

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .global \name
    .type   \name, %function
    .p2align 2
\name:
.endm

/* Octets y .. y_end of rows that adjoin. */
.macro OCTETS name, type, relu, corrected
    FUNCTION \name
    push    {r4-r11, lr}
    TAKE_LAYER q3
    mov     r7, r2                      /* y */
    mov     r11, r3                     /* y_end */
.if \corrected
    ldr     r4, [r1, #CORRECTION]
.endif
    ldrd    r3, r9, [r1, #X]            /* and x_end */
    mov     r1, r6
    FIND_ENTRY 2f, 4, BLOCK_BYTES, 8
    push    {r0, r3, r4, r6}            /* entry, x, correction, nothing */
    .p2align 2
1:
    ldm     r5!, {r0, r2, r4, r6, r8, r10, r12, lr}
    ldr     r3, [sp, #4]
    ldr     pc, [sp]
    .p2align 2
2:
    .rept   8
    ONE_BLOCK \type
    .endr
    cmp     r3, r9
    bne     2b
    SUMS_TO_VECTORS
.if \corrected
    ldr     r0, [sp, #8]
    vadd.i32 q0, q0, r0
    vadd.i32 q1, q1, r0
.endif
    FINISH_OCTET q3, \relu
    cmp     r7, r11
    bne     1b
    add     sp, #16
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    OCTETS  sluice_helium_octets, s8, 0, 0
    OCTETS  sluice_helium_octets_relu, s8, 1, 0
    OCTETS  sluice_helium_offset_octets, u8, 0, 1

/* The octets whose first row the list open .. open_end names, every eighth entry. */
.macro OCTETS_OF_OPEN name, relu
    FUNCTION \name
    push    {r4-r11, lr}
    ldr     r4, [sp, #36]               /* y */
    mov     r11, r2                     /* open */
    TAKE_LAYER q3
    TAKE_ROW_BYTES r7
    add     r9, r1, r7                  /* x_end */
    mov     r8, r3                      /* open_end */
    mov     r3, r1
    FIND_ENTRY 2f, 4, BLOCK_BYTES, 8
    mov     r2, r0
    push    {r2-r8, r10}                /* entry, x, y, constants, weights, row_bytes, open_end */
    .p2align 2
1:
    ldrh    r0, [r11], #16
    ldrd    r7, r5, [sp, #8]
    ldrd    r1, r2, [sp, #16]
    mla     r1, r0, r2, r1
    add     r7, r0
    add     r5, r0                      /* 9 bytes of constants a row */
    add     r5, r5, r0, lsl #3
    ldm     r5!, {r0, r2, r4, r6, r8, r10, r12, lr}
    ldr     r3, [sp, #4]
    ldr     pc, [sp]
    .p2align 2
2:
    .rept   8
    ONE_BLOCK s8
    .endr
    cmp     r3, r9
    bne     2b
    SUMS_TO_VECTORS
    FINISH_OCTET q3, \relu
    ldr     r0, [sp, #24]
    cmp     r11, r0
    bne     1b
    add     sp, #32
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    OCTETS_OF_OPEN sluice_helium_octets_of_open, 0
    OCTETS_OF_OPEN sluice_helium_octets_of_open_relu, 1

/* Both for 128 inputs. */
.macro OCTETS_128 name, relu
    FUNCTION \name
    push    {r4-r11, lr}
    vpush   {d8-d15}
    TAKE_LAYER q0
    mov     r9, r12                     /* zero point */
    mov     r7, r2                      /* y */
    mov     r11, r3                     /* y_end */
    ldr     r3, [r1, #X]
    mov     r1, r6
    TAKE_HELD
    .p2align 2
1:
    ldm     r5!, {r0, r2, r4, r6, r8, r10, r12, lr}
    EIGHT_BLOCKS_HELD
    SUMS_TO_VECTORS
    FINISH_OCTET r9, \relu
    cmp     r7, r11
    bne     1b
    vpop    {d8-d15}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    OCTETS_128 sluice_helium_octets_128, 0
    OCTETS_128 sluice_helium_octets_128_relu, 1

.macro OCTETS_128_OF_OPEN name, relu
    FUNCTION \name
    push    {r4-r11, lr}
    vpush   {d8-d15}
    ldr     r4, [sp, #36 + 64]          /* y */
    TAKE_LAYER q0
    mov     r9, r12                     /* zero point */
    mov     r11, r2                     /* open */
    mov     r7, r3                      /* open_end */
    push    {r4-r7}                     /* y, constants, weights, open_end */
    mov     r3, r1
    TAKE_HELD
    .p2align 2
1:
    ldrh    r0, [r11], #16
    ldrd    r7, r5, [sp]
    ldr     r1, [sp, #8]
    add     r1, r1, r0, lsl #7
    add     r7, r0
    add     r5, r0                      /* 9 bytes of constants a row */
    add     r5, r5, r0, lsl #3
    ldm     r5!, {r0, r2, r4, r6, r8, r10, r12, lr}
    EIGHT_BLOCKS_HELD
    SUMS_TO_VECTORS
    FINISH_OCTET r9, \relu
    ldr     r0, [sp, #12]
    cmp     r11, r0
    bne     1b
    add     sp, #16
    vpop    {d8-d15}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    OCTETS_128_OF_OPEN sluice_helium_octets_128_of_open, 0
    OCTETS_128_OF_OPEN sluice_helium_octets_128_of_open_relu, 1

.macro OPEN_ROW sum, row
    vldrw.u32 q1, [q3, #16 * \row]
    vmladava.u8 \sum, q0, q1
.endm

/* Four groups of four open inputs; where their weights are, after them. */
.macro ONE_OPEN_BLOCK
    vldrw.u32 q3, [r3, #16]
    vadd.i32 q3, q3, r1
    vldrb.8 q0, [r3], #32
    OPEN_ROW r0, 0
    OPEN_ROW r2, 1
    OPEN_ROW r4, 2
    OPEN_ROW r6, 3
    OPEN_ROW r8, 4
    OPEN_ROW r10, 5
    OPEN_ROW r12, 6
    OPEN_ROW lr, 7
.endm

    FUNCTION sluice_helium_octets_of_open_inputs
    push    {r4-r11, lr}
    vpush   {d8, d9}
    TAKE_LAYER q4
    TAKE_ROW_BYTES r8
    mov     r7, r2                      /* y */
    mov     r11, r3                     /* y_end */
    ldr     r4, [r1, #CORRECTION]
    ldrd    r3, r9, [r1, #X]            /* and x_end */
    mov     r1, r6
    lsl     r6, r8, #3
    FIND_ENTRY 2f, 5, OPEN_BLOCK_BYTES, 2
    cmp     r3, r9
    it      eq
    adreq   r0, 3f + 1                  /* nothing is open */
    push    {r0, r3, r4, r6}            /* entry, x, correction, bytes of an octet */
    .p2align 2
1:
    ldm     r5!, {r0, r2, r4, r6, r8, r10, r12, lr}
    ldr     r3, [sp, #4]
    ldr     pc, [sp]
    .p2align 2
2:
    ONE_OPEN_BLOCK
    ONE_OPEN_BLOCK
    cmp     r3, r9
    bne     2b
    .p2align 2
3:
    SUMS_TO_VECTORS
    ldrd    r0, r2, [sp, #8]
    vadd.i32 q0, q0, r0
    vadd.i32 q1, q1, r0
    add     r1, r2
    FINISH_OCTET q4, 0
    cmp     r7, r11
    bne     1b
    add     sp, #16
    vpop    {d8, d9}
    pop     {r4-r11, pc}
    .size   sluice_helium_octets_of_open_inputs, . - sluice_helium_octets_of_open_inputs
