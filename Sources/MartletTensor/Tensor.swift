import CTorch

/// A multi-dimensional array of numbers on one device, a reference to libtorch's own.
///
/// Not `Sendable`: libtorch keeps its modes and worker threads per calling thread, so a tensor stays on the compute
/// thread that made it. Every operation throws `TensorError` instead of ending the process.
public final class Tensor {
    let handle: ct_tensor

    /// Takes over one reference.
    init(taking handle: ct_tensor) { self.handle = handle }

    deinit { ct_tensor_release(handle) }

    /// The length of each dimension; empty for a single number.
    public var shape: [Int] {
        guard let sizes = ct_tensor_sizes(handle) else { return [] }
        return (0..<rank).map { Int(sizes[$0]) }
    }

    /// How many dimensions there are.
    public var rank: Int { Int(ct_tensor_rank(handle)) }

    /// How many elements there are.
    public var count: Int { Int(ct_tensor_count(handle)) }

    /// Bytes of the elements as they would lie side by side.
    public var byteCount: Int { count * scalarType.size }

    /// The length of one dimension, counted from the end where `axis` is negative; 0 where there is no such dimension.
    public func size(_ axis: Int) -> Int {
        let index = axis < 0 ? axis + rank : axis
        guard index >= 0, index < rank, let sizes = ct_tensor_sizes(handle) else { return 0 }
        return Int(sizes[index])
    }

    /// The type of the elements. Types outside `ScalarType`, such as complex numbers, read as float32 and are never
    /// made by the operators that are declared here.
    public var scalarType: ScalarType { ScalarType(number: ct_tensor_scalar_type(handle)) ?? .float32 }

    public var device: Device { Device(bits: ct_tensor_device(handle)) }

    /// Whether the elements lie side by side in row-major order.
    public var isContiguous: Bool { ct_tensor_is_contiguous(handle) }
}

extension Tensor: CustomStringConvertible {
    public var description: String { "Tensor(\(scalarType.rawValue), \(shape), \(device))" }
}

extension Tensor {
    /// The product of a shape.
    /// - Throws: `TensorError` where a length is negative or the elements or their bytes cannot be counted.
    public static func checkedCount(_ shape: [Int], type: ScalarType = .float32) throws -> Int {
        var count = 1
        for length in shape {
            guard length >= 0 else { throw TensorError(.value, "shape \(shape) has a negative length") }
            let (product, overflow) = count.multipliedReportingOverflow(by: length)
            guard !overflow else { throw TensorError(.value, "shape \(shape) has more elements than can be counted") }
            count = product
        }
        guard !count.multipliedReportingOverflow(by: type.size).overflow else {
            throw TensorError(.value, "shape \(shape) of \(type.rawValue) has more bytes than can be counted")
        }
        // A zero further on would hide a product that libtorch itself multiplies out.
        var bound = type.size
        for length in shape where length > 0 {
            let (product, overflow) = bound.multipliedReportingOverflow(by: length)
            guard !overflow else { throw TensorError(.value, "shape \(shape) has lengths too large to multiply") }
            bound = product
        }
        return count
    }
}
