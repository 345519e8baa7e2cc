"""From a `.tflite` with its gate contract to C: read, match, plan, emit."""
