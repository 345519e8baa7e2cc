/* The loops of dsp.h on mixed outputs. Counted per 16 MACs: 1 load of x, 2 of
 * weights, 4 sign extensions, 8 SMLAD. */
#include "finish_dsp.inc"

    .syntax unified
    .thumb
    .text


/* Two inputs (in r12) of four outputs: sums \a, \c are the mixed ones, \b, \d the even. */
.macro FOUR_OUTPUTS a, b, c, d
    ldm     r0!, {r10, r11}
    sxtb16  lr, r10
    smlad   \a, r10, r12, \a
    smlad   \b, lr, r12, \b
    sxtb16  lr, r11
    smlad   \c, r11, r12, \c
    smlad   \d, lr, r12, \d
.endm

.macro TWO_INPUTS
    ldr     r12, [r1], #4
    FOUR_OUTPUTS r2, r3, r4, r5
    FOUR_OUTPUTS r6, r7, r8, r9
.endm

/* The starts of outputs \k and \k + 1, from the constants at r12. */
.macro START_PAIR mixed, even, k
    ldr     \even, [r12, #8 * (\k)]
    ldr     \mixed, [r12, #8 * (\k) + 8]
    asr     \even, #8
    add     \mixed, \even
.endm

.macro START_TILE
    START_PAIR r2, r3, 0
    START_PAIR r4, r5, 2
    START_PAIR r6, r7, 4
    START_PAIR r8, r9, 6
.endm

/* \sum is twice the accumulator; constants at r1, bias2 in r12, y in r0. */
.macro FINISH_OUTPUT sum, k
    ldrd    r10, r11, [r1, #8 * (\k)]
    FINISH_DOUBLED \sum, r10, r11, r12
    strb    \sum, [r0, #(\k)]
.endm

.macro FINISH_PAIR mixed, even, k
    sub     \mixed, \even
    lsl     \even, #1
    asr     \mixed, #7
    FINISH_OUTPUT \even, \k
    FINISH_OUTPUT \mixed, \k + 1
.endm

.macro FINISH_TILE
    FINISH_PAIR r2, r3, 0
    FINISH_PAIR r4, r5, 2
    FINISH_PAIR r6, r7, 4
    FINISH_PAIR r8, r9, 6
.endm

    .section .text.sluice_dsp_tile, "ax", %progbits
    .global sluice_dsp_tile
    .type   sluice_dsp_tile, %function
    .p2align 2
sluice_dsp_tile:
    push    {r4-r11, lr}                /* bias2 and y are above these 9 */
    push    {r2, r3}                    /* x_end, constants */
    mov     r12, r3
    START_TILE
    .p2align 2
1:
    .rept   4
    TWO_INPUTS
    .endr
    ldr     lr, [sp]
    cmp     r1, lr
    bne     1b
    ldr     r1, [sp, #4]
    ldr     r12, [sp, #44]
    ldr     r0, [sp, #48]
    FINISH_TILE
    add     sp, #8
    pop     {r4-r11, pc}
    .size   sluice_dsp_tile, . - sluice_dsp_tile

.macro TILE_OF_OPEN name, group
    .section .text.\name, "ax", %progbits
    .global \name
    .type   \name, %function
    .p2align 2
\name:
    push    {r4-r11, lr}                /* constants, bias2 and y are above these 9 */
    push    {r0-r3}                     /* weights, x, open, open_end */
    ldr     r12, [sp, #52]
    mov     r10, r2
    cmp     r2, r3                      /* START_TILE overwrites both and keeps the flags */
    START_TILE
    beq     2f
    .p2align 2
1:                                      /* the list goes on at r10 */
    ldrh    r11, [r10], #(2 * \group)
    str     r10, [sp, #8]
    ldrd    r0, r1, [sp]
    add     r0, r0, r11, lsl #3         /* 8 bytes of weights an input */
    add     r1, r1, r11, lsl #1
    .rept   \group / 2
    TWO_INPUTS
    .endr
    ldrd    r10, r11, [sp, #8]
    cmp     r10, r11
    bne     1b
2:
    ldr     r1, [sp, #52]
    ldr     r12, [sp, #56]
    ldr     r0, [sp, #60]
    FINISH_TILE
    add     sp, #16
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    TILE_OF_OPEN sluice_dsp_tile_of_open_8, 8
    TILE_OF_OPEN sluice_dsp_tile_of_open_4, 4

    .section .text.sluice_dsp_widen, "ax", %progbits
    .global sluice_dsp_widen
    .type   sluice_dsp_widen, %function
    .p2align 2
sluice_dsp_widen:
    push    {r4-r6, lr}
    rsb     r2, #0
    pkhbt   r2, r2, r2, lsl #16         /* -zero_point, twice */
    add     r1, r0, r1, lsl #2
    cmp     r0, r1
    beq     2f
    .p2align 2
1:
    ldr     r12, [r0], #4
    sxtab16 r4, r2, r12                 /* values 0 and 2 */
    sxtab16 r5, r2, r12, ror #8         /* values 1 and 3 */
    pkhbt   r6, r4, r5, lsl #16
    pkhtb   r5, r5, r4, asr #16
    strd    r6, r5, [r3], #8
    cmp     r0, r1
    bne     1b
2:
    pop     {r4-r6, pc}
    .size   sluice_dsp_widen, . - sluice_dsp_widen
