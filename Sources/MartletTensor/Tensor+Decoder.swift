import CKernels
import CTorch

extension Tensor {
    /// Turns the first R numbers of each head [N, H, K] by the angles whose cosines and sines [N, 1, R] are given, i with
    /// i + R/2, in one pass.
    /// - Returns: nil where gradients are recorded or the numbers are not float32 in host memory.
    public func rotated(cos: Tensor, sin: Tensor) throws -> Tensor? {
        guard canRotate(cos, sin) else { return nil }
        let output = try Tensor.empty(shape)
        guard count > 0 else { return output }
        try withRows(of: Float.self) { input, stride in
            guard let data = ct_tensor_data(output.handle)?.assumingMemoryBound(to: Float.self) else { return }
            rotate(size(1), input, stride, to: data, size(1) * size(2), cos, sin)
        }
        return output
    }

    /// The same for the first `heads` heads of each row, in place.
    /// - Returns: false, and nothing is changed, where `rotated` gives nil or the rows have room between them.
    public func rotate(heads: Int, cos: Tensor, sin: Tensor) throws -> Bool {
        guard canRotate(cos, sin), isContiguous, heads <= size(1), let data = ct_tensor_data(handle) else {
            return false
        }
        let numbers = data.assumingMemoryBound(to: Float.self)
        if count > 0 { rotate(heads, numbers, size(1) * size(2), to: numbers, size(1) * size(2), cos, sin) }
        return true
    }

    private func canRotate(_ cos: Tensor, _ sin: Tensor) -> Bool {
        Tensor.canSkipRecording([self, cos, sin]) && rank == 3 && cos.shape == sin.shape && cos.size(0) == size(0)
            && cos.count == size(0) * cos.size(-1) && cos.size(-1) <= size(2) && cos.size(-1) % 2 == 0
            && cos.isContiguous && sin.isContiguous
    }

    private func rotate(
        _ heads: Int, _ input: UnsafePointer<Float>, _ stride: Int, to output: UnsafeMutablePointer<Float>,
        _ outputStride: Int, _ cos: Tensor, _ sin: Tensor
    ) {
        var rotation = ck_rotation()
        rotation.input = input
        rotation.stride = Int64(stride)
        rotation.output = output
        rotation.output_stride = Int64(outputStride)
        rotation.cosines = UnsafePointer(ct_tensor_data(cos.handle)?.assumingMemoryBound(to: Float.self))
        rotation.sines = UnsafePointer(ct_tensor_data(sin.handle)?.assumingMemoryBound(to: Float.self))
        rotation.heads = Int32(heads)
        rotation.size = Int32(size(2))
        rotation.rotated = Int32(cos.size(-1))
        withExtendedLifetime((cos, sin)) {
            Torch.parallel(size(0), grain: Swift.max(1, 16_384 / Swift.max(1, heads * size(2))), ck_rotate, &rotation)
        }
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
