import CTorch

/// One operator of libtorch, by its schema name. It is looked up once, when the value is made, and every call of an
/// operator in the program goes through `invoke`: the single door.
///
///     let add = Op("aten::add.Tensor")
///     let sum = try add.tensor(.tensor(a), .tensor(b))
public struct Op: Sendable, CustomStringConvertible {
    /// The schema name with its overload, such as `aten::add.Tensor`.
    public let name: String
    /// libtorch's operators live as long as the process and do not change.
    private nonisolated(unsafe) let handle: ct_op?

    /// Most results that an operator has (`miopen_rnn_backward` has 4; lists count as one).
    private static let resultCapacity = 8

    public init(_ name: String) {
        self.name = name
        handle = name.withCString(ct_op_find)
    }

    public var description: String { name }

    /// Whether the loaded libtorch has this operator.
    public var exists: Bool { handle != nil }

    /// The operator's signature as libtorch states it, nil where it has none.
    public var schema: String? {
        guard let handle, let text = ct_op_schema(handle) else { return nil }
        defer { ct_free(text) }
        return String(cString: text)
    }

    /// Calls the operator. Trailing arguments that are left out come from its schema.
    /// - Throws: `TensorError` with libtorch's message.
    public func call(_ arguments: Value...) throws -> [Value] {
        try invoke(arguments) { results in results.map { Value(taking: $0) } }
    }

    /// Calls an operator that gives one tensor.
    public func tensor(_ arguments: Value...) throws -> Tensor {
        try invoke(arguments) { results in
            if results.count == 1, results[0].tag == CT_TENSOR,
                let pointer = OpaquePointer(bitPattern: Int(results[0].bits))
            {
                return Tensor(taking: pointer)
            }
            let values = results.map { Value(taking: $0) }
            throw TensorError(.type, "gives \(values.count) results, not one tensor", operation: name)
        }
    }

    /// Calls an operator that gives several tensors or one list of tensors.
    public func tensors(_ arguments: Value...) throws -> [Tensor] {
        try invoke(arguments) { results in
            let values = results.map { Value(taking: $0) }
            if values.count == 1, case .tensors(let list) = values[0] { return list }
            let tensors = values.compactMap(\.tensor)
            guard tensors.count == values.count else {
                throw TensorError(.type, "gives something that is not a tensor", operation: name)
            }
            return tensors
        }
    }

    /// Calls an operator for its effect; results are dropped.
    public func run(_ arguments: Value...) throws {
        try invoke(arguments) { results in
            for result in results { _ = Value(taking: result) }
        }
    }

    @inline(__always)
    private func invoke<Result>(
        _ arguments: [Value], _ body: (UnsafeMutableBufferPointer<ct_value>) throws -> Result
    ) throws -> Result {
        guard let handle else {
            throw TensorError(.value, "this libtorch has no such operator", operation: name)
        }
        var extra = 0
        for argument in arguments { extra += argument.extraWords }
        // Arguments, results and lists in one piece of the stack: a call makes no array of its own.
        let values = arguments.count + Op.resultCapacity
        let words = values * MemoryLayout<ct_value>.stride / 8 + extra
        return try withUnsafeTemporaryAllocation(byteCount: words * 8, alignment: 8) { space in
            guard let base = space.baseAddress else { throw TensorError(.outOfMemory, "no stack", operation: name) }
            let slots = base.bindMemory(to: ct_value.self, capacity: values)
            var lists = (base + values * MemoryLayout<ct_value>.stride)
                .bindMemory(to: Int64.self, capacity: Swift.max(extra, 1))
            for (index, argument) in arguments.enumerated() {
                (slots + index).initialize(to: argument.write(to: &lists))
            }
            let results = slots + arguments.count
            var count: Int32 = 0
            let error = withExtendedLifetime(arguments) {
                ct_op_call(handle, slots, Int32(arguments.count), results, Int32(Op.resultCapacity), &count)
            }
            try check(error, name)
            return try body(UnsafeMutableBufferPointer(start: results, count: Int(count)))
        }
    }
}
