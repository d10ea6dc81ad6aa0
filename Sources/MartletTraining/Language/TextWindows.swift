import MartletData

/// Cuts texts into windows of tokens, so that each token but a text's first is foretold in exactly one, the first too
/// where something stands before a text.
package struct TextWindows {
    /// What stands before each window; where nothing does, that is the token before it.
    package let lead: [Int64]
    /// Most tokens that foretell one: a window has one more.
    package let length: Int
    private var window: TokenExample

    package init(lead: [Int64], length: Int) {
        self.lead = Array(lead.prefix(max(0, length - 1)))
        self.length = length
        window = TokenExample(tokens: [], isLearnt: [])
        begin(self.lead)
    }

    /// The window that the text's next token fills.
    package mutating func add(_ token: Int64) -> TokenExample? {
        window.isLearnt.append(!window.tokens.isEmpty)
        window.tokens.append(token)
        guard window.tokens.count > length else { return nil }
        let full = window
        begin(lead.isEmpty ? [token] : lead)
        return full
    }

    /// The text's last window, where one is begun; what comes next is another text.
    package mutating func finish() -> TokenExample? {
        let last = window
        begin(lead)
        return last.isLearnt.contains(true) ? last : nil
    }

    private mutating func begin(_ tokens: [Int64]) {
        window = TokenExample(tokens: tokens, isLearnt: tokens.map { _ in false })
    }
}
