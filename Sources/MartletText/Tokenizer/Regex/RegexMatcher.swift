/// Finds the matches of a program in UTF-8, leftmost first and with alternatives in order, in time linear in the text.
///
/// It backtracks with a stack of its own. Where that takes more steps than the text is long would allow, it goes on with
/// a record of the pairs (step, place) that have been tried: each fails only once, whatever place the attempt began at,
/// because nothing in a program depends on how a place was reached.
package struct RegexMatcher {
    private struct Alternative {
        var step: Int32
        var place: Int
        /// For a loop: the least place that it may give back to.
        var floor: Int
    }

    private let program: RegexProgram
    private let bytes: UnsafePointer<UInt8>
    private let start: Int
    private let end: Int
    private let table: UnsafePointer<UInt8>
    private var stack: [Alternative] = []
    private var budget: Int
    private var tried: TriedStates?

    /// Steps a byte before the record of tried pairs is begun.
    package static let stepsPerByte = 32

    /// Calls `body` with the start and end of each match in `range`, as an iterator of matches does: an empty match right
    /// after another match is passed over.
    package static func forEachMatch(
        of program: RegexProgram, in bytes: UnsafePointer<UInt8>, from start: Int, to end: Int,
        stepsPerByte: Int = Self.stepsPerByte, _ body: (Int, Int) -> Void
    ) {
        CharacterTable.shared.categories.withUnsafeBufferPointer { table in
            guard let base = table.baseAddress else { return }
            var matcher = RegexMatcher(
                program: program, bytes: bytes, start: start, end: end, table: base,
                budget: stepsPerByte * (end - start) + 256)
            var place = start
            var lastEnd = -1
            while place <= end {
                let matched = matcher.match(at: place)
                if matched < 0 || (matched == place && place == lastEnd) {
                    guard place < end else { return }
                    place += UTF8Scan.length(bytes[place])
                    continue
                }
                body(place, matched)
                lastEnd = matched
                matcher.tried?.forget(at: matched - start)
                place = matched
            }
        }
    }

    private init(
        program: RegexProgram, bytes: UnsafePointer<UInt8>, start: Int, end: Int, table: UnsafePointer<UInt8>,
        budget: Int
    ) {
        self.program = program
        self.bytes = bytes
        self.start = start
        self.end = end
        self.table = table
        self.budget = budget
        stack.reserveCapacity(64)
    }

    @inline(__always)
    private static func contains(
        _ set: RegexProgram.FlatClass, _ code: UInt32, _ table: UnsafePointer<UInt8>,
        _ ranges: UnsafeBufferPointer<(UInt32, UInt32)>
    ) -> Bool {
        if code < 64 { return set.low >> UInt64(code) & 1 != 0 }
        if code < 128 { return set.high >> UInt64(code - 64) & 1 != 0 }
        if set.categories & (1 << UInt64(table[Int(code)])) != 0 { return !set.isNegated }
        var index = Int(set.rangeStart)
        let last = index + Int(set.rangeCount)
        while index < last {
            if code >= ranges[index].0, code <= ranges[index].1 { return !set.isNegated }
            index += 1
        }
        return set.isNegated
    }

    /// The end of the match that begins at `place`, or −1.
    private mutating func match(at place: Int) -> Int {
        let result = program.steps.withUnsafeBufferPointer { steps in
            program.classes.withUnsafeBufferPointer { classes in
                program.ranges.withUnsafeBufferPointer { ranges in
                    run(place, steps, classes, ranges)
                }
            }
        }
        if result == -2 {
            tried = TriedStates(stepCount: program.steps.count, placeCount: end - start + 1)
            return match(at: place)
        }
        return result
    }

    private mutating func run(
        _ first: Int, _ steps: UnsafeBufferPointer<RegexProgram.Step>,
        _ classes: UnsafeBufferPointer<RegexProgram.FlatClass>, _ ranges: UnsafeBufferPointer<(UInt32, UInt32)>
    ) -> Int {
        stack.removeAll(keepingCapacity: true)
        var step = 0
        var place = first
        let records = tried != nil
        while true {
            if !records {
                budget -= 1
                if budget < 0 { return -2 }
            }
            var fails = false
            if records, tried?.insert(step, place - start) == false {
                fails = true
            } else {
                let current = steps[step]
                switch current.operation {
                case .match: return place
                case .jump: step = Int(current.first)
                case .split:
                    stack.append(Alternative(step: current.second, place: place, floor: place))
                    step = Int(current.first)
                case .character:
                    if place < end {
                        let (code, length) = UTF8Scan.scalar(bytes, place)
                        if Self.contains(classes[Int(current.first)], code, table, ranges) {
                            place += length
                            step += 1
                        } else {
                            fails = true
                        }
                    } else {
                        fails = true
                    }
                case .possessiveOption:
                    if place < end {
                        let (code, length) = UTF8Scan.scalar(bytes, place)
                        if Self.contains(classes[Int(current.first)], code, table, ranges) { place += length }
                    }
                    step += 1
                case .loop, .possessiveLoop:
                    let set = classes[Int(current.first)]
                    let floor = place
                    var last = place
                    var meets = false
                    while place < end {
                        let (code, length) = UTF8Scan.scalar(bytes, place)
                        guard Self.contains(set, code, table, ranges) else { break }
                        last = place
                        place += length
                        if records, tried?.insert(step, place - start) == false {
                            meets = true
                            break
                        }
                    }
                    if !records { budget -= place - floor }
                    if current.operation == .possessiveLoop {
                        // Whoever stood here before went on to the same end, and failed.
                        if meets { fails = true } else { step += 1 }
                    } else {
                        // From a place that was tried before, every way out has failed.
                        if meets { place = last }
                        step += 1
                        if place > floor { stack.append(Alternative(step: Int32(step), place: place, floor: floor)) }
                    }
                case .look:
                    var holds = false
                    if current.second & 1 != 0 {
                        if place < end {
                            let code = UTF8Scan.scalar(bytes, place).code
                            holds = Self.contains(classes[Int(current.first)], code, table, ranges)
                        }
                    } else if place > start {
                        let code = UTF8Scan.scalar(bytes, UTF8Scan.before(bytes, place)).code
                        holds = Self.contains(classes[Int(current.first)], code, table, ranges)
                    }
                    if holds == (current.second & 2 != 0) { fails = true } else { step += 1 }
                case .lineStart:
                    if place == start || bytes[place - 1] == 0x0A { step += 1 } else { fails = true }
                case .lineEnd:
                    if place == end || bytes[place] == 0x0A { step += 1 } else { fails = true }
                case .textStart: if place == start { step += 1 } else { fails = true }
                case .textEnd: if place == end { step += 1 } else { fails = true }
                }
            }
            if fails {
                guard let top = stack.last else { return -1 }
                step = Int(top.step)
                if top.place > top.floor {
                    place = UTF8Scan.before(bytes, top.place)
                    if place > top.floor { stack[stack.count - 1].place = place } else { stack.removeLast() }
                } else {
                    place = top.place
                    stack.removeLast()
                }
            }
        }
    }
}

/// Which pairs of a step and a place have been tried: a bit each, in pages that are made when they are needed.
struct TriedStates {
    private static let placesPerPage = 4096
    private let wordsPerPlace: Int
    private var pages: [[UInt64]?]
    private var firstPage = 0

    init(stepCount: Int, placeCount: Int) {
        wordsPerPlace = (stepCount + 63) / 64
        pages = [[UInt64]?](repeating: nil, count: placeCount / Self.placesPerPage + 1)
    }

    /// False where the pair is in already.
    mutating func insert(_ step: Int, _ place: Int) -> Bool {
        let page = place / Self.placesPerPage
        let word = place % Self.placesPerPage * wordsPerPlace + step / 64
        let bit: UInt64 = 1 << UInt64(step % 64)
        if pages[page] == nil {
            pages[page] = [UInt64](repeating: 0, count: Self.placesPerPage * wordsPerPlace)
        }
        guard let old = pages[page]?[word], old & bit == 0 else { return false }
        pages[page]?[word] = old | bit
        return true
    }

    /// A match ended at `place`: the way to it went through pairs there that have not failed.
    mutating func forget(at place: Int) {
        let page = place / Self.placesPerPage
        while firstPage < page {
            pages[firstPage] = nil
            firstPage += 1
        }
        guard pages[page] != nil else { return }
        let word = place % Self.placesPerPage * wordsPerPlace
        for index in word..<word + wordsPerPlace { pages[page]?[index] = 0 }
    }
}
