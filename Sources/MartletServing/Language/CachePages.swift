/// Which pages of the key-value cache hold what, and who reads them. A value without tensors: it knows pages by number.
///
/// A page belongs to a chain: the tokens before it, from the sequence's first on, and its own. Full pages are known by
/// their chain, so that sequences that begin alike read the same pages without a copy. Chains of two tenants never
/// meet. What nobody reads stays until its page is needed, the longest unread first.
public struct CachePages {
    /// Tokens of a page.
    public static let size = 16

    /// A place in the tree of all chains. Numbers are never used again.
    public typealias Chain = UInt64

    private struct Content: Hashable {
        var parent: Chain
        var tokens: [Int32]
    }

    private struct Page {
        var readers = 0
        var content: Content?
        var chain: Chain = 0
        /// Counts the times that the last reader left.
        var stamp = 0
    }

    private var pages: [Page]
    private var byContent: [Content: Int32] = [:]
    private var roots: [String: Chain] = [:]
    private var lastChain: Chain = 0
    /// Pages that hold nothing.
    private var empty: [Int32]
    /// Pages that nobody reads, with the stamp of then, in order of leaving; those read again since are passed over.
    private var unread: [(page: Int32, stamp: Int)] = []
    private var unreadHead = 0
    /// Pages that can be had: empty or unread.
    public private(set) var availableCount: Int

    public init(count: Int) {
        pages = Array(repeating: Page(), count: count)
        empty = (0..<Int32(count)).reversed()
        availableCount = count
    }

    public var count: Int { pages.count }

    /// Pages for so many tokens.
    public static func count(for tokens: Int) -> Int { (tokens + size - 1) / size }

    /// The chain that a tenant's sequences start from.
    public mutating func root(of tenant: String) -> Chain {
        if let known = roots[tenant] { return known }
        lastChain += 1
        roots[tenant] = lastChain
        return lastChain
    }

    /// Full pages that hold the beginning of `tokens`, at most `limit` of them, now read by the caller as well.
    public mutating func match(_ tokens: [Int32], from root: Chain, limit: Int) -> (pages: [Int32], chain: Chain) {
        var found: [Int32] = []
        var chain = root
        while found.count < limit {
            let start = found.count * Self.size
            guard start + Self.size <= tokens.count else { break }
            let content = Content(parent: chain, tokens: Array(tokens[start..<start + Self.size]))
            guard let page = byContent[content] else { break }
            retain(page)
            found.append(page)
            chain = pages[Int(page)].chain
        }
        return (found, chain)
    }

    /// Takes an empty page, or the one that has been unread longest; nil where all are read.
    public mutating func take() -> Int32? {
        if let page = empty.popLast() {
            pages[Int(page)].readers = 1
            availableCount -= 1
            return page
        }
        while unreadHead < unread.count {
            let (page, stamp) = unread[unreadHead]
            unreadHead += 1
            let state = pages[Int(page)]
            guard state.readers == 0, state.stamp == stamp else { continue }
            if let content = state.content { byContent[content] = nil }
            pages[Int(page)].content = nil
            pages[Int(page)].readers = 1
            availableCount -= 1
            return page
        }
        return nil
    }

    /// Notes what a full page holds, once it is computed.
    /// - Returns: the chain that ends with it.
    public mutating func remember(_ page: Int32, _ tokens: ArraySlice<Int32>, after chain: Chain) -> Chain {
        let content = Content(parent: chain, tokens: Array(tokens))
        if let other = byContent[content] { return pages[Int(other)].chain }
        lastChain += 1
        pages[Int(page)].content = content
        pages[Int(page)].chain = lastChain
        byContent[content] = page
        return lastChain
    }

    /// One reader less of each page. The last of a chain is forgotten first: it is of no use without those before it.
    public mutating func release(_ released: [Int32]) {
        for page in released.reversed() {
            pages[Int(page)].readers -= 1
            guard pages[Int(page)].readers == 0 else { continue }
            availableCount += 1
            if pages[Int(page)].content == nil {
                empty.append(page)
            } else {
                pages[Int(page)].stamp += 1
                unread.append((page, pages[Int(page)].stamp))
            }
        }
        if unreadHead > 1024, unreadHead * 2 > unread.count {
            unread.removeFirst(unreadHead)
            unreadHead = 0
        } else if unread.count > 4 * pages.count + 1024 {
            unread = unread[unreadHead...].filter {
                pages[Int($0.page)].readers == 0 && pages[Int($0.page)].stamp == $0.stamp
            }
            unreadHead = 0
        }
    }

    private mutating func retain(_ page: Int32) {
        if pages[Int(page)].readers == 0 { availableCount -= 1 }
        pages[Int(page)].readers += 1
    }
}
