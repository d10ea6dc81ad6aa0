import Foundation
import MartletWire

/// One input or target with everything that was learnt about it from the training split.
public struct FittedFeature: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable {
        case number, category, boolean, text, image, sequence, vector, datetime
    }

    public let name: String
    public let role: FeatureLayout.Role
    public let kind: Kind
    /// The data's columns that feed it, in order.
    public let columns: [String]
    public var normalization: InputConfig.Normalization = .none
    /// number, vector, datetime: a value x is given to the model as (x - offset) / scale; image: one pair a channel.
    /// With `log`, x is ln(1 + value).
    public var offset: [Double] = []
    public var scale: [Double] = []
    /// category: the labels, sorted; text and sequence: the vocabulary by frequency.
    public var categories: [String] = []
    /// category and boolean targets: training rows of each label, in the order of the scores.
    public var counts: [Int] = []
    public var tokenizer: InputConfig.Tokenizer?
    /// text, sequence: tokens of a row; vector: its length.
    public var length: Int = 0
    /// image
    public var height: Int = 0
    public var width: Int = 0
    public var channels: Int = 0

    init(name: String, role: FeatureLayout.Role, kind: Kind, columns: [String]) {
        self.name = name
        self.role = role
        self.kind = kind
        self.columns = columns
    }

    /// Image bytes are stored as they are where the model sees them divided by 255.
    var keepsBytes: Bool { kind == .image && normalization == .minmax }

    public var layout: FeatureLayout {
        switch kind {
        case .number: FeatureLayout(name: name, role: role, shape: [], storage: .float32, isContinuous: true)
        case .boolean: FeatureLayout(name: name, role: role, shape: [], storage: .float32)
        case .vector: FeatureLayout(name: name, role: role, shape: [length], storage: .float32, isContinuous: true)
        case .datetime: FeatureLayout(name: name, role: role, shape: [DateParts.count], storage: .float32)
        case .category:
            FeatureLayout(
                name: name, role: role, shape: [], storage: .int64,
                cardinality: categories.count + (role == .input ? 1 : 0))
        case .text, .sequence:
            FeatureLayout(
                name: name, role: role, shape: [length], storage: .int64,
                cardinality: categories.count + (role == .input ? 2 : 0))
        case .image:
            FeatureLayout(
                name: name, role: role, shape: [channels, height, width], storage: keepsBytes ? .uint8 : .float32,
                isContinuous: true)
        }
    }

    /// Whether the values belong together: a file from elsewhere may say anything.
    var isComplete: Bool {
        func scales(_ count: Int) -> Bool {
            offset.count == count && scale.count == count && scale.allSatisfy { $0 != 0 && $0.isFinite }
        }
        guard !columns.isEmpty, role == .input || !categories.isEmpty || kind != .category else { return false }
        switch kind {
        case .number: return scales(1)
        case .datetime: return scales(DateParts.count)
        case .vector:
            return (1...100_000_000).contains(length) && scales(length)
                && (columns.count == 1 || columns.count == length)
        case .image:
            let sides = 1...ImageCodec.maxSide
            return sides.contains(height) && sides.contains(width) && (channels == 1 || channels == 3)
                && scales(channels)
        case .text, .sequence: return (1...1_000_000).contains(length) && tokenizer != nil
        case .category, .boolean: return true
        }
    }

    /// A raw value as the model sees it.
    @inline(__always)
    func normalized(_ value: Double, _ index: Int) -> Float {
        let value = normalization == .log ? log1p(value) : value
        return Float((value - offset[index]) / scale[index])
    }

    /// The raw value of what the model gives.
    func restored(_ value: Float, _ index: Int) -> Double {
        let value = Double(value) * scale[index] + offset[index]
        return normalization == .log ? expm1(value) : value
    }
}
