import MartletWire

/// What becomes of the matches when a text is cut at them.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    init(_ json: JSON?, default standard: SplitBehavior? = nil) throws {
        if let name = json?.string, let known = SplitBehavior(rawValue: name) {
            self = known
        } else if json == nil, let standard {
            self = standard
        } else {
            throw TokenizerReader.unknown(json?.string ?? "", "split behavior")
        }
    }

    /// Appends the parts of `piece` to `out`, given its matches in order, without the empty ones between.
    func cut(_ piece: Piece, at matches: [Range<Int>], inverted: Bool, into out: inout [Piece]) {
        var spans: [(range: Range<Int>, isMatch: Bool)] = []
        spans.reserveCapacity(matches.count * 2 + 1)
        var last = piece.start
        for match in matches {
            if match.lowerBound > last { spans.append((last..<match.lowerBound, inverted)) }
            spans.append((match, !inverted))
            last = match.upperBound
        }
        if last < piece.end { spans.append((last..<piece.end, inverted)) }
        var parts: [Range<Int>] = []
        var previous = false
        switch self {
        case .removed: parts = spans.filter { !$0.isMatch }.map { $0.range }
        case .isolated: parts = spans.map { $0.range }
        case .contiguous:
            for span in spans {
                if span.isMatch == previous, let first = parts.last {
                    parts[parts.count - 1] = first.lowerBound..<span.range.upperBound
                } else {
                    parts.append(span.range)
                }
                previous = span.isMatch
            }
        case .mergedWithPrevious:
            for span in spans {
                if span.isMatch, !previous, let first = parts.last {
                    parts[parts.count - 1] = first.lowerBound..<span.range.upperBound
                } else {
                    parts.append(span.range)
                }
                previous = span.isMatch
            }
        case .mergedWithNext:
            for span in spans.reversed() {
                if span.isMatch, !previous, let next = parts.last {
                    parts[parts.count - 1] = span.range.lowerBound..<next.upperBound
                } else {
                    parts.append(span.range)
                }
                previous = span.isMatch
            }
            parts.reverse()
        }
        for part in parts where !part.isEmpty { out.append(Piece(start: part.lowerBound, end: part.upperBound)) }
    }
}
