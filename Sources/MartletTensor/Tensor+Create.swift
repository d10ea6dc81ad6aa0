import CTorch

extension Tensor {
    /// A tensor with the given elements in row-major order; a vector where no shape is given.
    /// - Throws: `TensorError` where the shape's product is not the number of elements.
    public convenience init<Scalar: TensorScalar>(
        _ elements: [Scalar], shape: [Int]? = nil, device: Device = .cpu
    ) throws {
        let handle = try elements.withUnsafeBytes { bytes in
            try Tensor.copy(bytes, shape: shape ?? [elements.count], type: Scalar.scalarType, device: device)
        }
        self.init(taking: handle)
    }

    /// A tensor of one number.
    public convenience init<Scalar: TensorScalar>(scalar: Scalar, device: Device = .cpu) throws {
        try self.init([scalar], shape: [], device: device)
    }

    /// A tensor with a copy of raw elements, in memory that is aligned as libtorch wants it.
    /// - Throws: `TensorError` where the number of bytes is not shape · type.
    public convenience init(
        bytes: UnsafeRawBufferPointer, shape: [Int], type: ScalarType, device: Device = .cpu
    ) throws {
        self.init(taking: try Tensor.copy(bytes, shape: shape, type: type, device: device))
    }

    /// A tensor over memory that stays where it is until `release` is called, such as a mapped file.
    /// - Throws: `TensorError` where the number of bytes is not shape · type; `release` is called then too.
    public convenience init(
        wrapping bytes: UnsafeMutableRawBufferPointer, shape: [Int], type: ScalarType,
        release: @escaping @Sendable () -> Void
    ) throws {
        let box = Unmanaged.passRetained(Release(release))
        let count = try Result { try Tensor.checkedCount(shape, type: type) }.mapError { error in
            box.release()
            return error
        }.get()
        guard count * type.size == bytes.count, let base = bytes.baseAddress else {
            box.release()
            throw TensorError(.value, "\(bytes.count) bytes do not fill shape \(shape) of \(type.rawValue)")
        }
        var handle: ct_tensor?
        let error = ct_tensor_wrap(
            base, shape.map { Int64($0) }, Int32(shape.count), type.number,
            { context in
                if let context { Unmanaged<Release>.fromOpaque(context).release() }
            }, box.toOpaque(), &handle)
        try check(error)
        guard let handle else { throw TensorError(.other, "no tensor came back") }
        self.init(taking: handle)
    }

    /// Runs a closure when the last tensor over some memory goes.
    private final class Release {
        let action: @Sendable () -> Void
        init(_ action: @escaping @Sendable () -> Void) { self.action = action }
        deinit { action() }
    }

    private static func copy(
        _ bytes: UnsafeRawBufferPointer, shape: [Int], type: ScalarType, device: Device
    ) throws -> ct_tensor {
        let count = try checkedCount(shape, type: type)
        guard count * type.size == bytes.count else {
            throw TensorError(
                .value,
                "shape \(shape) of \(type.rawValue) takes \(count * type.size) bytes, but there are \(bytes.count)")
        }
        return try create(bytes.baseAddress, shape: shape, type: type, device: device)
    }

    private static func create(
        _ bytes: UnsafeRawPointer?, shape: [Int], type: ScalarType, device: Device
    ) throws -> ct_tensor {
        var handle: ct_tensor?
        let sizes = shape.map { Int64($0) }
        try check(ct_tensor_create(bytes, sizes, Int32(shape.count), type.number, device.bits, &handle))
        guard let handle else { throw TensorError(.other, "no tensor came back") }
        return handle
    }

    /// Memory for a shape, with whatever lies there.
    public static func empty(
        _ shape: [Int], type: ScalarType = .float32, device: Device = .cpu
    ) throws -> Tensor {
        _ = try checkedCount(shape, type: type)
        return Tensor(taking: try create(nil, shape: shape, type: type, device: device))
    }

    /// A tensor filled with one number.
    public static func full(
        _ shape: [Int], _ value: Double, type: ScalarType = .float32, device: Device = .cpu
    ) throws -> Tensor {
        let tensor = try empty(shape, type: type, device: device)
        try Op.fill_.run(.tensor(tensor), .double(value))
        return tensor
    }

    public static func zeros(_ shape: [Int], type: ScalarType = .float32, device: Device = .cpu) throws -> Tensor {
        let tensor = try empty(shape, type: type, device: device)
        try Op.zero_.run(.tensor(tensor))
        return tensor
    }

    public static func ones(_ shape: [Int], type: ScalarType = .float32, device: Device = .cpu) throws -> Tensor {
        try full(shape, 1, type: type, device: device)
    }

    /// The numbers `start`, `start + step`, … below `end`.
    public static func arange(
        _ start: Double = 0, to end: Double, step: Double = 1, type: ScalarType = .int64, device: Device = .cpu
    ) throws -> Tensor {
        try Op.arange.tensor(
            .double(start), .double(end), .double(step), .type(type), nil, .device(device))
    }

    /// The identity matrix.
    public static func eye(_ size: Int, type: ScalarType = .float32, device: Device = .cpu) throws -> Tensor {
        try Op.eye.tensor(.int(size), .type(type), nil, .device(device))
    }

    public func zerosLike() throws -> Tensor { try Tensor.zeros(shape, type: scalarType, device: device) }
    public func onesLike() throws -> Tensor { try Tensor.ones(shape, type: scalarType, device: device) }
}
