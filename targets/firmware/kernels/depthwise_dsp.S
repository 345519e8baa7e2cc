/* The loop of sluice_dsp_depthwise() in dsp.h: 19 instructions a channel. */
#include "finish_dsp.inc"

    .syntax unified
    .thumb
    .text


.macro ONE_TAP frame
    ldrsb   r8, [\frame], #1
    ldrsb   r9, [r3], #1
    mla     r12, r8, r9, r12
.endm

/* One channel; constants at r4, y at r5, bias2 in r6. */
.macro ONE_CHANNEL
    ldm     r4!, {r7, r11}              /* start, multiplier */
    asr     r12, r7, #8
    ONE_TAP r0
    ONE_TAP r1
    ONE_TAP r2
    lsl     r12, #1
    FINISH_DOUBLED r12, r7, r11, r6
    strb    r12, [r5], #1
.endm

    .section .text.sluice_dsp_depthwise, "ax", %progbits
    .global sluice_dsp_depthwise
    .type   sluice_dsp_depthwise, %function
    .p2align 2
sluice_dsp_depthwise:
    push    {r4-r11, lr}                /* constants, bias2, y and y_end are above these 9 */
    ldrd    r4, r6, [sp, #36]
    ldrd    r5, r10, [sp, #44]
    sub     lr, r10, r5
    tst     lr, #1
    beq     1f
    ONE_CHANNEL                         /* the odd one */
    cmp     r5, r10
    beq     2f
    .p2align 2
1:
    ONE_CHANNEL
    ONE_CHANNEL
    cmp     r5, r10
    bne     1b
2:
    pop     {r4-r11, pc}
    .size   sluice_dsp_depthwise, . - sluice_dsp_depthwise
