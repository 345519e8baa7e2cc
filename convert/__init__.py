"""ONNX and TFLite files of a quantised model, the gate contract and the parity ladder."""
