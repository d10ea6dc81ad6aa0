/// The values of one feature in a batch, row-major.
public enum FeatureValues: Sendable, Equatable {
    case floats([Float])
    case ints([Int64])
    case bytes([UInt8])

    public var count: Int {
        switch self {
        case .floats(let values): values.count
        case .ints(let values): values.count
        case .bytes(let values): values.count
        }
    }
}

/// How one feature of a row is stored.
public struct FeatureLayout: Codable, Sendable, Equatable {
    public enum Role: String, Codable, Sendable { case input, target }
    public enum Storage: String, Codable, Sendable {
        case float32, int64, uint8

        public var byteCount: Int {
            switch self {
            case .float32: 4
            case .int64: 8
            case .uint8: 1
            }
        }
    }

    public var name: String
    public var role: Role
    /// Without the batch: image [channels, height, width]; vector [length]; datetime [5]; text and sequence
    /// [maxLength]; number, category and boolean [].
    public var shape: [Int]
    /// `uint8` is an image of 0…255 that the model sees divided by 255; every other value is as the model sees it.
    public var storage: Storage
    /// How many distinct indices an `int64` feature has: labels of a category (an input has one more, 0, for values
    /// that training did not have), entries of a vocabulary (with 0 padding and 1 unknown in an input).
    public var cardinality: Int?
    /// Whether the values measure something, so that a little noise leaves their sense.
    public var isContinuous: Bool

    public init(
        name: String, role: Role, shape: [Int], storage: Storage, cardinality: Int? = nil, isContinuous: Bool = false
    ) {
        self.name = name
        self.role = role
        self.shape = shape
        self.storage = storage
        self.cardinality = cardinality
        self.isContinuous = isContinuous
    }

    /// Values in one row.
    public var elementCount: Int { shape.reduce(1, *) }
    /// Bytes of one row.
    public var byteCount: Int { elementCount * storage.byteCount }
}

/// Rows as arrays: the inputs in the recipe's order, then the targets.
public struct FeatureBatch: Sendable {
    public let count: Int
    public let features: [(layout: FeatureLayout, values: FeatureValues)]

    public init(count: Int, features: [(layout: FeatureLayout, values: FeatureValues)]) {
        self.count = count
        self.features = features
    }

    public subscript(_ name: String) -> FeatureValues? { features.first { $0.layout.name == name }?.values }
}

/// The value that stands where a sequence target has ended; PyTorch's cross-entropy ignores it.
public let paddingLabel: Int64 = -100
