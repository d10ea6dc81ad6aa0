import CKernels
import CTorch

extension Tensor {
    /// Turns the first R numbers of each head [N, H, K] by the angles whose cosines and sines [N, 1, R] are given, i with
    /// i + R/2, in one pass.
    /// - Returns: nil where gradients are recorded or the numbers are not float32 in host memory.
    public func rotated(cos: Tensor, sin: Tensor) throws -> Tensor? {
        let all = [self, cos, sin]
        guard Tensor.canSkipRecording(all), rank == 3, cos.shape == sin.shape, cos.size(0) == size(0),
            cos.count == size(0) * cos.size(-1), cos.size(-1) <= size(2), cos.size(-1) % 2 == 0, cos.isContiguous,
            sin.isContiguous
        else { return nil }
        let output = try Tensor.empty(shape)
        guard count > 0 else { return output }
        try withRows(of: Float.self) { input, stride in
            var rotation = ck_rotation()
            rotation.input = input
            rotation.stride = Int64(stride)
            rotation.output = ct_tensor_data(output.handle)?.assumingMemoryBound(to: Float.self)
            rotation.cosines = UnsafePointer(ct_tensor_data(cos.handle)?.assumingMemoryBound(to: Float.self))
            rotation.sines = UnsafePointer(ct_tensor_data(sin.handle)?.assumingMemoryBound(to: Float.self))
            rotation.heads = Int32(size(1))
            rotation.size = Int32(size(2))
            rotation.rotated = Int32(cos.size(-1))
            Torch.parallel(size(0), grain: Swift.max(1, 16_384 / Swift.max(1, count / size(0))), ck_rotate, &rotation)
        }
        return output
    }

    /// `x/√(mean(x²) + ε)·w` over the last dimension, in one pass.
    /// - Returns: nil where gradients are recorded or the numbers are not float32 side by side in host memory.
    public func rootMeanSquareNormalized(weight: Tensor, epsilon: Double) throws -> Tensor? {
        let width = size(-1)
        guard Tensor.canSkipRecording([self, weight]), isContiguous, weight.shape == [width], weight.isContiguous,
            width > 0
        else { return nil }
        let output = try Tensor.empty(shape)
        var norm = ck_norm()
        norm.input = UnsafePointer(ct_tensor_data(handle)?.assumingMemoryBound(to: Float.self))
        norm.output = ct_tensor_data(output.handle)?.assumingMemoryBound(to: Float.self)
        norm.weight = UnsafePointer(ct_tensor_data(weight.handle)?.assumingMemoryBound(to: Float.self))
        norm.size = Int64(width)
        norm.epsilon = Float(epsilon)
        withExtendedLifetime(weight) {
            Torch.parallel(count / width, grain: Swift.max(1, 16_384 / width), ck_norm_rows, &norm)
        }
        return output
    }

    /// `SiLU(self)·up` of rows [N, D], in one pass.
    /// - Returns: nil where gradients are recorded or the numbers are not float32 in host memory.
    public func siluGated(up: Tensor) throws -> Tensor? {
        guard Tensor.canSkipRecording([self, up]), rank == 2, shape == up.shape else { return nil }
        let output = try Tensor.empty(shape)
        guard count > 0 else { return output }
        try withRows(of: Float.self) { gateRows, gateStride in
            try up.withRows(of: Float.self) { upRows, upStride in
                var gate = ck_gate()
                gate.gate = gateRows
                gate.gate_stride = Int64(gateStride)
                gate.up = upRows
                gate.up_stride = Int64(upStride)
                gate.output = ct_tensor_data(output.handle)?.assumingMemoryBound(to: Float.self)
                gate.size = Int64(size(1))
                Torch.parallel(size(0), grain: Swift.max(1, 16_384 / size(1)), ck_gate_rows, &gate)
            }
        }
        return output
    }

    private static func canSkipRecording(_ tensors: [Tensor]) -> Bool {
        tensors.allSatisfy { $0.scalarType == .float32 && $0.device == .cpu }
            && !(ct_grad_mode() && tensors.contains { $0.requiresGrad })
    }
}
