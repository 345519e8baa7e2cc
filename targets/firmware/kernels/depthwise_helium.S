/* The loops of helium.h on the channels of a depthwise convolution, 16 that adjoin or 8
 * of a list at a time. Sums of two products of bytes fit 16 bits; the third is added
 * in 32. */
#include "finish_helium.inc"

    .syntax unified
    .thumb
    .text

    .set OLDEST, 0                      /* of sluice_helium_depthwise_t */
    .set NEWEST, 8
    .set WEIGHTS, 12
    .set SHIFTS, 24
    .set STARTS, 28
    .set ZERO_POINT, 36

/* r0 to r2: frames; r3 to r5: weights of the taps; r6 shifts, r8 starts,
 * r9 multipliers, r10 zero point. */
.macro TAKE_LAYER
    mov     r12, r0
    ldrd    r8, r9, [r12, #STARTS]      /* and multipliers */
    ldr     r10, [r12, #ZERO_POINT]
    ldm     r12, {r0-r6}
.endm

/* The products of eight channels, in 16-bit lanes: of two taps added up in q3, of the
 * newest one the even channels' in q2 and the odd ones' in q0. Then all in q2 and q3. */
.macro ADD_PRODUCTS
    vmullb.s16 q2, q0, q1
    vmullt.s16 q0, q0, q1
    vmovlb.s16 q1, q3
    vadd.i32 q2, q2, q1
    vmovlt.s16 q3, q3
    vadd.i32 q3, q3, q0
.endm

.macro FINISH_CHANNELS relu
.if \relu == 0
    ROUND_AWAY q2, q1
    ROUND_AWAY q3, q1
.endif
    vrshl.s32 q2, q2, q0                /* by the low byte of each lane */
    vshr.u32 q0, q0, #16
    vrshl.s32 q3, q3, q0
    SATURATE q2, q3, r10
.endm

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .global \name
    .type   \name, %function
    .p2align 2
\name:
.endm

/* 16-bit lanes of \two and \one, added in 32: the even ones to \one, the odd to \two. */
.macro ADD_WIDENED two, one
    vmovlb.s16 q0, \two
    vmovlb.s16 q1, \one
    vmovlt.s16 \two, \two
    vmovlt.s16 \one, \one
    vadd.i32 \two, \two, \one
    vadd.i32 \one, q0, q1
.endm

/* q0 to q3: of channels 0, 4, 8, 12; 1, 5, ..; 2, 6, ..; 3, 7, ... */
.macro LOAD_16 from
    vld40.32 {q0, q1, q2, q3}, [\from]
    vld41.32 {q0, q1, q2, q3}, [\from]
    vld42.32 {q0, q1, q2, q3}, [\from]
    vld43.32 {q0, q1, q2, q3}, [\from]!
.endm

/* The products of 16 channels, in 16-bit lanes. */
.macro ONE_TAP frame, weights, even, odd
    vldrb.8 q0, [\frame], #16
    vldrb.8 q1, [\weights], #16
    vmullb.s8 \even, q0, q1
    vmullt.s8 \odd, q0, q1
.endm

/* Channels that adjoin. Sums of channels 0, 4, ..: q6; 1, 5, ..: q7; 2, 6, ..: q4;
 * 3, 7, ..: q5. */
.macro DEPTHWISE name, relu
    FUNCTION \name
    push    {r4-r10, lr}
    vpush   {d8-d15}
    mov     r7, r1                      /* y */
    dls     lr, r2                      /* sixteens of channels */
    TAKE_LAYER
    .p2align 2
1:
    ONE_TAP r0, r3, q4, q5
    ONE_TAP r1, r4, q6, q7
    vadd.i16 q4, q4, q6
    vadd.i16 q5, q5, q7
    ONE_TAP r2, r5, q6, q7
    ADD_WIDENED q4, q6
    ADD_WIDENED q5, q7
    LOAD_16 r8
    vadd.i32 q6, q6, q0
    vadd.i32 q7, q7, q1
    vadd.i32 q4, q4, q2
    vadd.i32 q5, q5, q3
    LOAD_16 r9
    vqrdmulh.s32 q6, q6, q0
    vqrdmulh.s32 q7, q7, q1
    vqrdmulh.s32 q4, q4, q2
    vqrdmulh.s32 q5, q5, q3
.if \relu == 0
    ROUND_AWAY q6, q0
    ROUND_AWAY q7, q0
    ROUND_AWAY q4, q0
    ROUND_AWAY q5, q0
.endif
    vldrb.8 q0, [r6], #16               /* shifts: by the low byte of each lane */
    vrshl.s32 q6, q6, q0
    vshr.u32 q1, q0, #8
    vrshl.s32 q7, q7, q1
    vshr.u32 q1, q0, #16
    vrshl.s32 q4, q4, q1
    vshr.u32 q1, q0, #24
    vrshl.s32 q5, q5, q1
    SATURATE q6, q4, r10                /* the even channels */
    vqmovnb.s32 q7, q7
    vqmovnt.s32 q7, q5
    vqadd.s16 q7, q7, r10
    vqmovnt.s16 q6, q7
    vstrb.8 q6, [r7], #16
    le      lr, 1b
    vpop    {d8-d15}
    pop     {r4-r10, pc}
    .size   \name, . - \name
.endm

    DEPTHWISE sluice_helium_depthwise, 0
    DEPTHWISE sluice_helium_depthwise_relu, 1

/* The channels of a list, wherever they are. */
.macro DEPTHWISE_OF_OPEN name, relu
    FUNCTION \name
    push    {r4-r11, lr}
    vpush   {d8-d13}
    mov     r7, r1                      /* open */
    dls     lr, r2                      /* eights of channels */
    mov     r11, r3                     /* y */
    TAKE_LAYER
    .p2align 2
1:
    vldrh.u16 q4, [r7], #16             /* the channels; q5 the even ones, q6 the odd */
    vldrb.s16 q3, [r0, q4]
    vldrb.s16 q0, [r3, q4]
    vmul.i16 q3, q3, q0
    vldrb.s16 q0, [r1, q4]
    vldrb.s16 q1, [r4, q4]
    vmul.i16 q0, q0, q1
    vadd.i16 q3, q3, q0
    vldrb.s16 q0, [r2, q4]
    vldrb.s16 q1, [r5, q4]
    ADD_PRODUCTS
    vmovlb.u16 q5, q4
    vmovlt.u16 q6, q4
    vldrw.u32 q0, [r8, q5, uxtw #2]
    vadd.i32 q2, q2, q0
    vldrw.u32 q1, [r8, q6, uxtw #2]
    vadd.i32 q3, q3, q1
    vldrw.u32 q0, [r9, q5, uxtw #2]
    vqrdmulh.s32 q2, q2, q0
    vldrw.u32 q1, [r9, q6, uxtw #2]
    vqrdmulh.s32 q3, q3, q1
    vldrb.s16 q0, [r6, q4]
    FINISH_CHANNELS \relu
    vstrb.16 q2, [r11, q4]
    le      lr, 1b
    vpop    {d8-d13}
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    DEPTHWISE_OF_OPEN sluice_helium_depthwise_of_open, 0
    DEPTHWISE_OF_OPEN sluice_helium_depthwise_of_open_relu, 1
