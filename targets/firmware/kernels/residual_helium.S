/* The loop of sluice_helium_residual() in helium.h, eight channels at a time. */
#include "finish_helium.inc"

    .syntax unified
    .thumb
    .text

.macro HALF_AWAY sums, shift
    ROUND_AWAY \sums, q6
    vrshl.s32 \sums, \shift
.endm

/* half at r0, other at r1; the sums to 16-bit lanes of q0. */
.macro EIGHT_CHANNELS
    vldrb.s16 q0, [r0], #8
    vldrb.s16 q2, [r1], #8
    vmovlt.s16 q1, q0
    vmovlb.s16 q0, q0
    vmovlt.s16 q3, q2
    vmovlb.s16 q2, q2
    vmlas.s32 q0, q4, r4
    vmlas.s32 q1, q4, r4
    vmlas.s32 q2, q5, r5
    vmlas.s32 q3, q5, r5
    vqrdmulh.s32 q2, q2, r6
    vqrdmulh.s32 q3, q3, r6
    HALF_AWAY q2, r8
    HALF_AWAY q3, r8
    vadd.i32 q0, q0, q2
    vadd.i32 q1, q1, q3
    vqrdmulh.s32 q0, q0, r9
    vqrdmulh.s32 q1, q1, r9
    HALF_AWAY q0, r10
    HALF_AWAY q1, r10
    SATURATE q0, q1, r11
.endm

    .section .text.sluice_helium_residual, "ax", %progbits
    .global sluice_helium_residual
    .type   sluice_helium_residual, %function
    .p2align 2
sluice_helium_residual:
    push    {r4-r11, lr}
    vpush   {d8-d13}
    mov     r12, r0
    mov     r0, r1
    mov     r1, r2
    ldr     r2, [sp, #84]               /* y: above 9 words and 6 double words */
    ldrd    r4, r5, [r12]
    ldrd    r6, r8, [r12, #8]
    ldrd    r9, r10, [r12, #16]
    ldr     r11, [r12, #24]
    mov     r7, #(1 << 19)
    vdup.32 q4, r7
    mov     r7, #(1 << 20)
    vdup.32 q5, r7
    lsr     r12, r3, #3
    wls     lr, r12, 2f
    .p2align 2
1:
    EIGHT_CHANNELS
    vstrb.16 q0, [r2], #8
    le      lr, 1b
2:
    ands    r3, #7
    beq     3f
    EIGHT_CHANNELS
    vctp.16 r3
    vpst
    vstrbt.16 q0, [r2]
3:
    vpop    {d8-d13}
    pop     {r4-r11, pc}
    .size   sluice_helium_residual, . - sluice_helium_residual
