import MartletWire

extension JSON {
    /// The whole numbers of a list; empty for anything else.
    public var ints: [Int] { array?.compactMap(\.int) ?? [] }
    /// The texts of a list; empty for anything else.
    public var strings: [String] { array?.compactMap(\.string) ?? [] }
}
