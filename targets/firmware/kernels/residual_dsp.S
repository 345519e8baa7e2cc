/* The loop of sluice_dsp_residual() in dsp.h: 16 instructions a channel. */
#include "finish_dsp.inc"

    .syntax unified
    .thumb
    .text

/* One channel; the constants are in r4 to r10, y in r3. */
.macro ONE_CHANNEL
    ldrsb   r12, [r1], #1
    ldrsb   r11, [r0], #1
    add     r12, r6, r12, lsl #21
    smmulr  r12, r12, r4
    add     r12, r12, r12, asr #31
    asr     r12, r5
    add     r12, r7                     /* rounds, and takes out the larger's zero point */
    bic     r12, #1
    add     r12, r12, r11, lsl #20      /* twice the sum */
    FINISH_DOUBLED r12, r9, r8, r10
    strb    r12, [r3], #1
.endm

    .section .text.sluice_dsp_residual, "ax", %progbits
    .global sluice_dsp_residual
    .type   sluice_dsp_residual, %function
    .p2align 2
sluice_dsp_residual:
    push    {r4-r11, lr}                /* y_end is above these 9 */
    ldm     r2, {r4-r10}
    ldr     r2, [sp, #36]
    sub     lr, r2, r3
    tst     lr, #1
    beq     1f
    ONE_CHANNEL                         /* the odd one */
    cmp     r3, r2
    beq     2f
    .p2align 2
1:
    ONE_CHANNEL
    ONE_CHANNEL
    cmp     r3, r2
    bne     1b
2:
    pop     {r4-r11, pc}
    .size   sluice_dsp_residual, . - sluice_dsp_residual
