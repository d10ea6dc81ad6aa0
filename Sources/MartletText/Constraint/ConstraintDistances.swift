import MartletWire

/// The fewest bytes to an end, and whether there is one (Knuth, "A generalization of Dijkstra's algorithm", 1977).
enum ConstraintDistances {
    static func shortest(_ grammar: ConstraintGrammar) -> [Int32] {
        var grammar = grammar
        let count = grammar.states.count
        grammar.distances = [Int32](repeating: ConstraintGrammar.unreachable, count: count)
        var dependents = [[Int32]](repeating: [], count: count)
        for (index, state) in grammar.states.enumerated() {
            let place = Int32(index)
            for edge in state.edges { dependents[Int(edge.target)].append(place) }
            for target in state.free { dependents[Int(target)].append(place) }
            for (_, target) in state.tokens { dependents[Int(target)].append(place) }
            if let call = state.call {
                dependents[Int(grammar.rules[Int(call.rule)])].append(place)
                dependents[Int(call.next)].append(place)
            }
            if let number = state.repetition {
                let repetition = grammar.repetitions[Int(number)]
                for target in [repetition.first, repetition.again, repetition.exit] {
                    dependents[Int(target)].append(place)
                }
            }
        }
        var heap = ConstraintHeap()
        for (index, state) in grammar.states.enumerated() where state.isReturn {
            grammar.distances[index] = 0
            heap.push(0, Int32(index))
        }
        while let (distance, index) = heap.pop() {
            guard distance == grammar.distances[Int(index)] else { continue }
            for dependent in dependents[Int(index)] {
                let found = distanceFrom(Int(dependent), grammar)
                guard found < grammar.distances[Int(dependent)] else { continue }
                grammar.distances[Int(dependent)] = found
                heap.push(found, dependent)
            }
        }
        return grammar.distances
    }

    private static func distanceFrom(_ index: Int, _ grammar: ConstraintGrammar) -> Int32 {
        let state = grammar.states[index]
        if state.isReturn { return 0 }
        var best = ConstraintGrammar.unreachable
        for edge in state.edges { best = min(best, ConstraintGrammar.sum(1, grammar.distances[Int(edge.target)])) }
        for target in state.free { best = min(best, grammar.distances[Int(target)]) }
        for (_, target) in state.tokens { best = min(best, ConstraintGrammar.sum(1, grammar.distances[Int(target)])) }
        if let call = state.call {
            let start = grammar.rules[Int(call.rule)]
            best = min(
                best, ConstraintGrammar.sum(grammar.distances[Int(start)], grammar.distances[Int(call.next)]))
        }
        if let number = state.repetition {
            let repetition = grammar.repetitions[Int(number)]
            let inside = grammar.distance(of: repetition, minimum: repetition.minimum, isFirst: true)
            best = min(best, ConstraintGrammar.sum(inside, grammar.distances[Int(repetition.exit)]))
        }
        return best
    }

    /// A rule that reaches itself before the first byte would be entered without end.
    static func refuseLeftRecursion(_ grammar: ConstraintGrammar) throws {
        var calls: [[Int]] = []
        for start in grammar.rules {
            var seen: Set<Int32> = [start]
            var work = [start]
            var found: Set<Int> = []
            func visit(_ next: Int32) {
                if seen.insert(next).inserted { work.append(next) }
            }
            while let index = work.popLast() {
                let state = grammar.states[Int(index)]
                state.free.forEach(visit)
                if let call = state.call {
                    found.insert(Int(call.rule))
                    if grammar.distances[Int(grammar.rules[Int(call.rule)])] == 0 { visit(call.next) }
                }
                if let number = state.repetition {
                    let repetition = grammar.repetitions[Int(number)]
                    visit(repetition.first)
                    if repetition.minimum == 0 { visit(repetition.exit) }
                }
            }
            calls.append(Array(found))
        }
        // Rules whose calls are all settled fall away; what stays is in a circle.
        var open = calls.map(\.count)
        var callers = [[Int]](repeating: [], count: calls.count)
        for (rule, called) in calls.enumerated() {
            for other in called { callers[other].append(rule) }
        }
        var settled = open.indices.filter { open[$0] == 0 }
        var left = open.count
        while let rule = settled.popLast() {
            left -= 1
            for caller in callers[rule] {
                open[caller] -= 1
                if open[caller] == 0 { settled.append(caller) }
            }
        }
        guard left == 0 else {
            throw MartletError(.invalidRequest, "a '$ref' of the schema refers to itself with nothing between")
        }
    }
}

/// A binary heap of states by distance.
private struct ConstraintHeap {
    private var items: [(Int32, Int32)] = []

    mutating func push(_ distance: Int32, _ state: Int32) {
        items.append((distance, state))
        var child = items.count - 1
        while child > 0, items[(child - 1) / 2].0 > items[child].0 {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (Int32, Int32)? {
        guard let first = items.first else { return nil }
        let last = items.removeLast()
        guard !items.isEmpty else { return first }
        items[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].0 < items[least].0 {
                least = child
            }
            guard least != parent else { return first }
            items.swapAt(parent, least)
            parent = least
        }
    }
}
