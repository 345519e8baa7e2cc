"""The audit: what can be wrong with a .tflite, judged without trusting a byte of it."""
