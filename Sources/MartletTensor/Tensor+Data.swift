import CTorch

extension Tensor {
    /// The elements in row-major order, converted to the type asked for.
    public func array<Scalar: TensorScalar>(of type: Scalar.Type) throws -> [Scalar] {
        let source = try (scalarType == Scalar.scalarType ? self : to(Scalar.scalarType)).hostContiguous()
        let count = source.count
        guard count > 0, let data = ct_tensor_data(source.handle) else { return [] }
        return withExtendedLifetime(source) {
            Array(
                UnsafeBufferPointer(start: UnsafePointer(data.assumingMemoryBound(to: Scalar.self)), count: count))
        }
    }

    /// The elements' bytes in row-major order, copied first where they do not lie side by side in host memory.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        let source = try hostContiguous()
        return try withExtendedLifetime(source) {
            try body(UnsafeRawBufferPointer(start: ct_tensor_data(source.handle), count: source.byteCount))
        }
    }

    /// The elements' own memory, to be written.
    /// - Throws: `TensorError` where they do not lie side by side in host memory.
    public func withUnsafeMutableBytes<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> Result
    ) throws -> Result {
        guard device == .cpu, isContiguous else {
            throw TensorError(.value, "\(self) does not lie side by side in host memory; make it contiguous first")
        }
        return try withExtendedLifetime(self) {
            try body(UnsafeMutableRawBufferPointer(start: ct_tensor_data(handle), count: byteCount))
        }
    }

    /// The memory of a tensor [N, ..] whose rows each lie side by side, and how many elements it is from one row to the
    /// next; another layout is copied first.
    /// - Throws: `TensorError` where it is not of that type in host memory.
    public func withRows<Scalar: TensorScalar, Result>(
        of type: Scalar.Type, _ body: (UnsafePointer<Scalar>, Int) throws -> Result
    ) throws -> Result {
        guard device == .cpu, scalarType == Scalar.scalarType else {
            throw TensorError(.type, "\(self) was expected as \(Scalar.scalarType.rawValue) in host memory")
        }
        let source = hasRowsSideBySide ? self : try contiguous()
        guard source.rank > 0, let data = ct_tensor_data(source.handle), let strides = ct_tensor_strides(source.handle)
        else { throw TensorError(.value, "\(self) has no rows") }
        return try withExtendedLifetime(source) {
            try body(UnsafePointer(data.assumingMemoryBound(to: Scalar.self)), Int(strides[0]))
        }
    }

    private var hasRowsSideBySide: Bool {
        guard rank > 0, let strides = ct_tensor_strides(handle) else { return false }
        var expected = 1
        for axis in (1..<Swift.max(1, rank)).reversed() {
            guard size(axis) == 1 || Int(strides[axis]) == expected else { return false }
            expected *= size(axis)
        }
        return true
    }

    /// The single element as a floating-point number.
    /// - Throws: `TensorError` where there is not exactly one.
    public func item() throws -> Double {
        var value = ct_value()
        try check(ct_tensor_item(handle, &value), "item")
        return Int(value.tag) == CT_DOUBLE ? Double(bitPattern: UInt64(bitPattern: value.bits)) : Double(value.bits)
    }

    /// The single element of a tensor of integers or booleans.
    public func intItem() throws -> Int {
        var value = ct_value()
        try check(ct_tensor_item(handle, &value), "item")
        guard Int(value.tag) != CT_DOUBLE else { throw TensorError(.type, "\(self) does not hold an integer") }
        return Int(value.bits)
    }

    /// Overwrites the elements with another tensor's, broadcast and converted.
    public func copy_(_ source: Tensor) throws {
        try Op.copy_.run(.tensor(self), .tensor(source))
    }

    /// The tensor on another device; itself where it is there already.
    public func to(_ device: Device) throws -> Tensor {
        device == self.device ? self : try Op.toDevice.tensor(.tensor(self), .device(device), .type(scalarType))
    }

    /// The tensor with another type of element; itself where it has it already.
    public func to(_ type: ScalarType) throws -> Tensor {
        type == scalarType ? self : try Op.toType.tensor(.tensor(self), .type(type))
    }

    /// A copy with memory of its own.
    public func clone() throws -> Tensor { try Op.clone.tensor(.tensor(self)) }

    /// The tensor with its elements side by side; itself where they are.
    public func contiguous() throws -> Tensor {
        isContiguous ? self : try Op.contiguous.tensor(.tensor(self))
    }

    /// The tensor with its elements laid out in a format; itself where they are.
    public func contiguous(_ format: MemoryFormat) throws -> Tensor {
        try Op.contiguous.tensor(.tensor(self), .memoryFormat(format))
    }

    private func hostContiguous() throws -> Tensor {
        let host = device == .cpu ? self : try detach().to(.cpu)
        return host.isContiguous ? host : try host.detach().contiguous()
    }
}
