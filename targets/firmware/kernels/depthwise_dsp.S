/* The loop of sluice_dsp_depthwise() in dsp.h: 20 instructions a channel and 2 for
 * every second one. */
    .syntax unified
    .thumb
    .text

/* One channel; channels at r4, y at r5, bias2 in r6. */
.macro ONE_CHANNEL
    ldrsb   r8, [r0], #1
    ldrsb   r9, [r1], #1
    ldrsb   r10, [r2], #1
    ldm     r4!, {r7, r11, r12}         /* bias, multiplier, shift */
    ldrsb   lr, [r3], #1
    mla     r7, r8, lr, r7
    ldrsb   lr, [r3], #1
    mla     r7, r9, lr, r7
    ldrsb   lr, [r3], #1
    mla     r7, r10, lr, r7
    lsl     r7, #1
    smmulr  r7, r7, r11
    add     r7, r7, r7, asr #31
    mvn     r12, r12                    /* -shift - 1 */
    asr     r7, r12
    add     r7, r6
    ssat    r7, #8, r7, asr #1
    strb    r7, [r5], #1
.endm

    .section .text.sluice_dsp_depthwise, "ax", %progbits
    .global sluice_dsp_depthwise
    .type   sluice_dsp_depthwise, %function
    .p2align 2
sluice_dsp_depthwise:
    push    {r4-r11, lr}                /* channels, bias2, y and y_end are above these 9 */
    ldrd    r4, r6, [sp, #36]
    ldr     r5, [sp, #44]
    .p2align 2
1:
    ONE_CHANNEL
    ONE_CHANNEL
    ldr     r12, [sp, #48]
    cmp     r5, r12
    bne     1b
    pop     {r4-r11, pc}
    .size   sluice_dsp_depthwise, . - sluice_dsp_depthwise
