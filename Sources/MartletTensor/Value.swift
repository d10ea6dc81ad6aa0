import CTorch

/// How a tensor's elements follow one another in memory.
public enum MemoryFormat: Int64, Sendable {
    case contiguous = 0
    case preserve = 1
    case channelsLast = 2
}

/// An object that only operators can look into, such as a packed weight.
public final class OpaqueObject {
    let pointer: UnsafeMutableRawPointer

    init(taking pointer: UnsafeMutableRawPointer) { self.pointer = pointer }

    deinit { ct_object_release(pointer) }
}

/// An argument or a result of an operator. Numbers are converted to what the schema asks for: an integer to a
/// floating-point number or a scalar, one number to a list of the schema's length.
public enum Value {
    case none
    case tensor(Tensor)
    case int(Int)
    case double(Double)
    case bool(Bool)
    case string(String)
    case ints([Int])
    case doubles([Double])
    case bools([Bool])
    case tensors([Tensor])
    case optionalTensors([Tensor?])
    case type(ScalarType)
    case device(Device)
    case memoryFormat(MemoryFormat)
    case object(OpaqueObject)

    /// A tensor, or nothing.
    public static func optional(_ tensor: Tensor?) -> Value {
        tensor.map(Value.tensor) ?? .none
    }

    /// The tensor in it, where there is one.
    public var tensor: Tensor? {
        if case .tensor(let tensor) = self { tensor } else { nil }
    }

    /// Words of eight bytes that the value's list or text takes outside the value itself.
    @inline(__always)
    var extraWords: Int {
        switch self {
        case .ints(let list): list.count
        case .doubles(let list): list.count
        case .bools(let list): list.count
        case .tensors(let list): list.count
        case .optionalTensors(let list): list.count
        case .string(let text): (text.utf8.count + 7) / 8
        default: 0
        }
    }

    /// Writes the value in the shim's form; a list or text goes to `space`, which is moved on.
    @inline(__always)
    func write(to space: inout UnsafeMutablePointer<Int64>) -> ct_value {
        switch self {
        case .none: return ct_value(tag: Int32(CT_NONE), count: 0, bits: 0)
        case .tensor(let tensor):
            return ct_value(tag: Int32(CT_TENSOR), count: 0, bits: Int64(Int(bitPattern: tensor.handle)))
        case .int(let number): return ct_value(tag: Int32(CT_INT), count: 0, bits: Int64(number))
        case .double(let number):
            return ct_value(tag: Int32(CT_DOUBLE), count: 0, bits: Int64(bitPattern: number.bitPattern))
        case .bool(let flag): return ct_value(tag: Int32(CT_BOOL), count: 0, bits: flag ? 1 : 0)
        case .type(let type): return ct_value(tag: Int32(CT_SCALAR_TYPE), count: 0, bits: Int64(type.number))
        case .device(let device): return ct_value(tag: Int32(CT_DEVICE), count: 0, bits: device.bits)
        case .memoryFormat(let format):
            return ct_value(tag: Int32(CT_MEMORY_FORMAT), count: 0, bits: format.rawValue)
        case .object(let object):
            return ct_value(tag: Int32(CT_OBJECT), count: 0, bits: Int64(Int(bitPattern: object.pointer)))
        case .string(let text): return Value.write(text, to: &space)
        case .ints(let list): return Value.write(list, Int32(CT_INTS), to: &space) { Int64($0) }
        case .doubles(let list):
            return Value.write(list, Int32(CT_DOUBLES), to: &space) { Int64(bitPattern: $0.bitPattern) }
        case .bools(let list): return Value.write(list, Int32(CT_BOOLS), to: &space) { $0 ? 1 : 0 }
        case .tensors(let list):
            return Value.write(list, Int32(CT_TENSORS), to: &space) { Int64(Int(bitPattern: $0.handle)) }
        case .optionalTensors(let list):
            return Value.write(list, Int32(CT_OPTIONAL_TENSORS), to: &space) {
                $0.map { Int64(Int(bitPattern: $0.handle)) } ?? 0
            }
        }
    }

    @inline(__always)
    private static func write<Element>(
        _ list: [Element], _ tag: Int32, to space: inout UnsafeMutablePointer<Int64>, _ word: (Element) -> Int64
    ) -> ct_value {
        let start = space
        for element in list {
            space.initialize(to: word(element))
            space += 1
        }
        return ct_value(tag: tag, count: Int32(list.count), bits: Int64(Int(bitPattern: start)))
    }

    private static func write(_ text: String, to space: inout UnsafeMutablePointer<Int64>) -> ct_value {
        let start = space
        let bytes = UnsafeMutableRawPointer(space).assumingMemoryBound(to: UInt8.self)
        var count = 0
        for byte in text.utf8 {
            bytes[count] = byte
            count += 1
        }
        space += (count + 7) / 8
        return ct_value(tag: Int32(CT_STRING), count: Int32(count), bits: Int64(Int(bitPattern: start)))
    }

    /// Takes over a result of the shim.
    init(taking value: ct_value) {
        let memory = UnsafeMutableRawPointer(bitPattern: Int(value.bits))
        let count = Int(value.count)
        switch Int(value.tag) {
        case CT_TENSOR: self = memory.map { .tensor(Tensor(taking: OpaquePointer($0))) } ?? .none
        case CT_INT: self = .int(Int(value.bits))
        case CT_DOUBLE: self = .double(Double(bitPattern: UInt64(bitPattern: value.bits)))
        case CT_BOOL: self = .bool(value.bits != 0)
        case CT_DEVICE: self = .device(Device(bits: value.bits))
        case CT_STRING: self = .string(Value.list(memory, count) { String(decoding: $0 as [UInt8], as: UTF8.self) })
        case CT_INTS: self = .ints(Value.list(memory, count) { ($0 as [Int64]).map { Int($0) } })
        case CT_DOUBLES: self = .doubles(Value.list(memory, count) { $0 as [Double] })
        case CT_OPTIONAL_TENSORS:
            let tensors = Value.list(memory, count) { ($0 as [OpaquePointer?]).map { $0.map(Tensor.init(taking:)) } }
            let present = tensors.compactMap { $0 }
            self = present.count == tensors.count ? .tensors(present) : .optionalTensors(tensors)
        case CT_OBJECT: self = memory.map { .object(OpaqueObject(taking: $0)) } ?? .none
        default: self = .none
        }
    }

    /// Copies a list that the shim allocated, and frees it.
    private static func list<Element, Result>(
        _ memory: UnsafeMutableRawPointer?, _ count: Int, _ body: ([Element]) -> Result
    ) -> Result {
        defer { ct_free(memory) }
        guard let memory else { return body([]) }
        let start = memory.assumingMemoryBound(to: Element.self)
        return body(Array(UnsafeBufferPointer(start: start, count: count)))
    }
}

extension Value: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByNilLiteral
{
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: Int...) { self = .ints(elements) }
    public init(nilLiteral: ()) { self = .none }
}
