/// Which script each code point belongs to, by number; 0 belongs to any.
struct ScriptTable: Sendable {
    static let shared = ScriptTable()
    static let any: UInt8 = 0
    let scripts: [UInt8]

    private init() { scripts = UnicodeData.expandPairs(UnicodeData.scripts) }
}
