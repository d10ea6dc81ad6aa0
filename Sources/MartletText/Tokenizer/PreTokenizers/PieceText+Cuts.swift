extension PieceText {
    /// Cuts into runs of scalars of the same kind. Kind 0 is left out; each scalar of a negative kind stands alone.
    mutating func cutRuns(_ kind: (UInt32) -> Int) {
        split { bytes, piece, out in
            var index = piece.start
            var runStart = index
            var runKind = 0
            while index < piece.end {
                let (code, length) = UTF8Scan.scalar(bytes, index)
                let next = kind(code)
                if next != runKind || next < 0 {
                    if runKind != 0, index > runStart { out.append(Piece(start: runStart, end: index)) }
                    runStart = index
                    runKind = next
                }
                index += length
            }
            if runKind != 0 { out.append(Piece(start: runStart, end: piece.end)) }
        }
    }

    /// Cuts at the matches of a pattern; `inverted`, what is between them counts as the matches.
    mutating func cut(_ behavior: SplitBehavior, at pattern: TextPattern, inverted: Bool = false) {
        split { bytes, piece, out in
            var cutter = SplitCutter(behavior, from: piece.start, inverted: inverted)
            pattern.forEachMatch(bytes, piece.start, piece.end) { cutter.match($0, $1, into: &out) }
            cutter.finish(piece.end, into: &out)
        }
    }

    /// Cuts at the scalars that `isMatch` names.
    mutating func cut(_ behavior: SplitBehavior, at isMatch: (UInt32) -> Bool) {
        split { bytes, piece, out in
            var cutter = SplitCutter(behavior, from: piece.start, inverted: false)
            var index = piece.start
            while index < piece.end {
                let (code, length) = UTF8Scan.scalar(bytes, index)
                if isMatch(code) { cutter.match(index, index + length, into: &out) }
                index += length
            }
            cutter.finish(piece.end, into: &out)
        }
    }

    /// Cuts into parts of `count` scalars.
    mutating func cutEvery(_ count: Int) {
        split { bytes, piece, out in
            var index = piece.start
            var start = index
            var scalars = 0
            while index < piece.end {
                index += UTF8Scan.length(bytes[index])
                scalars += 1
                if scalars == count || index >= piece.end {
                    out.append(Piece(start: start, end: index))
                    start = index
                    scalars = 0
                }
            }
        }
    }

    /// Cuts where the script changes; kana count as Han, and what belongs to any script changes nothing.
    mutating func cutScripts() {
        let scripts = ScriptTable.shared.scripts
        split { bytes, piece, out in
            var index = piece.start
            var start = -1
            var last: UInt8?
            while index < piece.end {
                let (code, length) = UTF8Scan.scalar(bytes, index)
                let script = scripts[Int(code)]
                if script != ScriptTable.any {
                    if last != script {
                        if start >= 0 { out.append(Piece(start: start, end: index)) }
                        start = index
                    }
                    last = script
                }
                index += length
            }
            if start >= 0 { out.append(Piece(start: start, end: piece.end)) }
        }
    }
}
