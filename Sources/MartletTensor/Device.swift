import CTorch

/// Where a tensor's memory lies and its operators run.
public enum Device: Sendable, Hashable, Codable, CustomStringConvertible {
    case cpu
    case cuda(Int)

    /// Reads `cpu`, `cuda` (the first) or `cuda:N`; nil for anything else.
    public init?(_ text: String) {
        if text == "cpu" {
            self = .cpu
        } else if text == "cuda" {
            self = .cuda(0)
        } else if text.hasPrefix("cuda:"), let index = Int8(text.dropFirst(5)), index >= 0 {
            self = .cuda(Int(index))
        } else {
            return nil
        }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let device = Device(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text)' is not a device; use cpu, cuda or cuda:N")
        }
        self = device
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    public var description: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let index): "cuda:\(index)"
        }
    }

    /// The devices that this process can use, the CPU first.
    public static var available: [Device] {
        [.cpu] + (0..<Int(ct_cuda_count())).map { .cuda($0) }
    }

    var bits: Int64 {
        switch self {
        case .cpu: Int64(UInt32.max)
        case .cuda(let index): 1 << 32 | Int64(index)
        }
    }

    init(bits: Int64) {
        self = bits >> 32 == 1 ? .cuda(max(0, Int(Int32(truncatingIfNeeded: bits)))) : .cpu
    }
}
