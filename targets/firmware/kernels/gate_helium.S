/* The list of open gates in helium.h: 16 gates' bits at once, then four at a time by
 * tables. */
    .syntax unified
    .thumb
    .text

/* Four of 16 gates, whose bits are in r6 from \first on; those before them are r4, the
 * list's end is r5. */
.macro FOUR_GATES first
    ubfx    r7, r6, #\first, #4
    ldrb    r10, [r9, r7]
    add     r7, r8, r7, lsl #4
    vldrb.u32 q0, [r7, #\first]
    vadd.i32 q0, q0, r4
    vstrh.32 q0, [r5]
    add     r5, r10
.endm

    .section .text.sluice_helium_gate, "ax", %progbits
    .global sluice_helium_gate
    .type   sluice_helium_gate, %function
    .p2align 2
sluice_helium_gate:
    push    {r4-r10, lr}
    ldr     r5, [sp, #32]               /* channels */
    dls     lr, r1                      /* sixteens of gates */
    mov     r4, #0
    ldr     r8, =open_of_four
    ldr     r9, =bytes_of_four
    .p2align 2
1:
    vldrb.8 q0, [r0], #16
    vcmp.s8 gt, q0, r2
    vmrs    r6, p0
    strh    r6, [r3], #2
    FOUR_GATES 0
    FOUR_GATES 4
    FOUR_GATES 8
    FOUR_GATES 12
    add     r4, #16
    le      lr, 1b
    mov     r0, r5
    pop     {r4-r10, pc}
    .ltorg
    .size   sluice_helium_gate, . - sluice_helium_gate

    .section .rodata.sluice_helium_gate, "a", %progbits
/* The open gates of four, whose bits are the index; from gates 0, 4, 8 and 12. */
open_of_four:
    .irp    bits, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .irp    first, 0, 4, 8, 12
    .set    count, 0
    .irp    gate, 0, 1, 2, 3
    .if     (\bits >> \gate) & 1
    .byte   \first + \gate
    .set    count, count + 1
    .endif
    .endr
    .if     count < 4
    .space  4 - count
    .endif
    .endr
    .endr
/* What they take in the list. */
bytes_of_four:
    .byte   0, 2, 2, 4, 2, 4, 4, 6, 2, 4, 4, 6, 4, 6, 6, 8
