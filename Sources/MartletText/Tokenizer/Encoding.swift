/// A text as tokens.
public struct Encoding: Sendable, Equatable {
    /// The tokens.
    public var ids: [Int] = []
    /// Where each token stands in its text, in Unicode scalars; 0..<0 for a token that a template put in.
    public var offsets: [Range<Int>] = []
    /// Which text of a pair each token belongs to, as the template says.
    public var typeIds: [Int] = []
    /// True for the tokens that a template put in.
    public var specialMask: [Bool] = []
    /// Spaces that each token begins and ends with: only on the way to offsets without them.
    var margins: [Margin] = []

    struct Margin: Sendable, Equatable {
        var leading = 0
        var trailing = 0
    }

    public init() {}

    public var count: Int { ids.count }

    mutating func append(_ other: Encoding) {
        ids += other.ids
        offsets += other.offsets
        typeIds += other.typeIds
        specialMask += other.specialMask
        margins += other.margins
    }

    /// One token from a template.
    static func special(_ ids: [Int], type: Int) -> Encoding {
        var encoding = Encoding()
        encoding.ids = ids
        encoding.offsets = ids.map { _ in 0..<0 }
        encoding.typeIds = ids.map { _ in type }
        encoding.specialMask = ids.map { _ in true }
        encoding.margins = ids.map { _ in Margin() }
        return encoding
    }

    func typed(_ type: Int) -> Encoding {
        var copy = self
        copy.typeIds = [Int](repeating: type, count: ids.count)
        return copy
    }
}
