/* The running sums of moving_average.h, eight channels at a time.
 *
 * n / frames = (n * factor >> 16) >> s, factor = 2^(16 + s) / frames rounded up and
 * from 2^15 to 2^16. That is exact as long as n * (frames - 1) < 2^(16 + s), or the
 * factor is exact: n <= 128 * frames + frames / 2 < 2^15 <= 2^(16 + s) / frames. */
    .syntax unified
    .thumb
    .text

    .section .text.sluice_moving_average, "ax", %progbits
    .global sluice_moving_average
    .type   sluice_moving_average, %function
    .p2align 2
sluice_moving_average:
    push    {r4-r8, lr}
    ldrd    r4, r5, [sp, #24]           /* oldest, average */
    sub     r12, r2, #1
    lsr     r6, r2, #1                  /* half of the frames */
    clz     r7, r12
    rsb     r7, #31                     /* s */
    mov     r8, #0x10000
    lsl     r8, r7
    add     r8, r12
    udiv    r8, r8, r2
    vdup.16 q3, r8                      /* factor */
    rsb     r7, #0
    mov     r12, #0
    dlstp.16 lr, r1
    .p2align 2
1:
    vldrb.s16 q0, [r0], #8
    vldrh.u16 q1, [r3]
    vadd.i16 q1, q1, q0                 /* the window's sum, at most 2^15 in size */
    vabs.s16 q2, q1                     /* -2^15 gives 2^15, as an unsigned number */
    vadd.i16 q2, q2, r6
    vmulh.u16 q2, q2, q3
    vshl.u16 q2, r7
    vpt.s16 lt, q1, r12
    vnegt.s16 q2, q2
    vstrb.16 q2, [r5], #8
    vldrb.s16 q2, [r4]
    vsub.i16 q1, q1, q2
    vstrh.16 q1, [r3], #16
    vstrb.16 q0, [r4], #8
    letp    lr, 1b
    pop     {r4-r8, pc}
    .size   sluice_moving_average, . - sluice_moving_average
