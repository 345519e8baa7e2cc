"""From a `.tflite` to C: the compiler, the firmware's sources, boards and the host library."""
