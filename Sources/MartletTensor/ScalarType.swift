/// The type of a tensor's elements.
public enum ScalarType: String, Sendable, Codable, CaseIterable {
    case float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, bool

    /// Bytes an element.
    public var size: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .int8, .uint8, .bool: 1
        }
    }

    /// Whether the elements are floating-point numbers, the only ones that can have gradients.
    public var isFloatingPoint: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16: true
        default: false
        }
    }

    /// libtorch's number of the type (c10/core/ScalarType.h).
    var number: Int32 {
        switch self {
        case .uint8: 0
        case .int8: 1
        case .int16: 2
        case .int32: 3
        case .int64: 4
        case .float16: 5
        case .float32: 6
        case .float64: 7
        case .bool: 11
        case .bfloat16: 15
        }
    }

    init?(number: Int32) {
        switch number {
        case 0: self = .uint8
        case 1: self = .int8
        case 2: self = .int16
        case 3: self = .int32
        case 4: self = .int64
        case 5: self = .float16
        case 6: self = .float32
        case 7: self = .float64
        case 11: self = .bool
        case 15: self = .bfloat16
        default: return nil
        }
    }
}

/// A Swift type whose memory is laid out as a tensor's elements.
public protocol TensorScalar: BitwiseCopyable, Sendable {
    static var scalarType: ScalarType { get }
}

extension Double: TensorScalar { public static var scalarType: ScalarType { .float64 } }
extension Float: TensorScalar { public static var scalarType: ScalarType { .float32 } }
extension Int64: TensorScalar { public static var scalarType: ScalarType { .int64 } }
extension Int: TensorScalar { public static var scalarType: ScalarType { .int64 } }
extension Int32: TensorScalar { public static var scalarType: ScalarType { .int32 } }
extension Int16: TensorScalar { public static var scalarType: ScalarType { .int16 } }
extension Int8: TensorScalar { public static var scalarType: ScalarType { .int8 } }
extension UInt8: TensorScalar { public static var scalarType: ScalarType { .uint8 } }
extension Bool: TensorScalar { public static var scalarType: ScalarType { .bool } }
