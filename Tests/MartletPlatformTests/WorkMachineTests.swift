import MartletPlatform
import Testing

@Suite("What background work does next")
struct WorkMachineTests {
    private struct Piece: WorkUnit { var number: Int }
    private typealias Machine = WorkMachine<Piece>

    private func pieces(_ range: ClosedRange<Int>) -> [Piece] { range.map { Piece(number: $0) } }

    private func numbers(_ actions: [Machine.Action]) -> [Int] {
        actions.compactMap { if case .run(let piece, _) = $0 { piece.number } else { nil } }
    }

    @Test func piecesRunInOrderAndAFewAtATime() {
        var machine = Machine(widest: 2, pageCount: 4, firstNumber: 1)
        #expect(machine.handle(.started) == [.load(after: 0, count: 4)])
        #expect(numbers(machine.handle(.loaded(pieces(1...4)))) == [1, 2])
        let next = machine.handle(.finished(2))
        #expect(numbers(next) == [3] && next.contains(.load(after: 4, count: 4)))
        #expect(numbers(machine.handle(.finished(1))) == [4])
        #expect(machine.handle(.loaded(pieces(5...5))) == [])
        #expect(numbers(machine.handle(.finished(4))) == [5])
        #expect(machine.handle(.finished(3)) == [])
        #expect(machine.handle(.finished(5)) == [.end(.completed)])
        #expect(machine.handle(.finished(5)) == [] && machine.handle(.timeOver) == [])
    }

    @Test func withoutPiecesItEndsAtOnce() {
        var machine = Machine(widest: 2)
        _ = machine.handle(.started)
        #expect(machine.handle(.loaded([])) == [.end(.completed)])
    }

    @Test func whereThereIsNoPlaceItHoldsBackLongerAndLongerAndNarrower() {
        var machine = Machine(widest: 8, pageCount: 100, firstNumber: 1)
        _ = machine.handle(.started)
        #expect(numbers(machine.handle(.loaded(pieces(1...20)))).count == 8)
        #expect(machine.handle(.busy(3)) == [.pause(milliseconds: 100)])
        #expect(machine.width == 4)
        // One pause at a time; nothing new starts in it, and the piece that was refused goes first afterwards.
        #expect(machine.handle(.busy(4)) == [] && machine.handle(.finished(1)) == [])
        #expect(machine.width == 3)
        for number in [2, 5, 6, 7, 8] { _ = machine.handle(.finished(number)) }
        #expect(numbers(machine.handle(.pauseOver)).prefix(2) == [4, 3])
    }

    @Test func pausesDoubleUpToTenSeconds() {
        var machine = Machine(widest: 1, firstNumber: 1)
        _ = machine.handle(.started)
        _ = machine.handle(.loaded(pieces(1...1)))
        var pauses: [Int] = []
        for _ in 0..<9 {
            for case .pause(let milliseconds) in machine.handle(.busy(1)) { pauses.append(milliseconds) }
            _ = machine.handle(.pauseOver)
        }
        #expect(pauses == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
    }

    @Test func whatIsHeldBackByItsBudgetHasNotTried() {
        var machine = Machine(widest: 1, firstNumber: 1)
        _ = machine.handle(.started)
        #expect(machine.handle(.loaded(pieces(1...1))).contains(.run(Piece(number: 1), tries: 0)))
        for _ in 0..<500 {
            #expect(machine.handle(.held(1)).contains { if case .pause = $0 { true } else { false } })
            #expect(machine.handle(.pauseOver).contains(.run(Piece(number: 1), tries: 0)))
        }
        _ = machine.handle(.busy(1))
        #expect(machine.handle(.pauseOver).contains(.run(Piece(number: 1), tries: 1)))
    }

    @Test func aPieceThatNeverHasAPlaceGetsAResultInTheEnd() {
        var machine = Machine(widest: 1, firstNumber: 1)
        _ = machine.handle(.started)
        var actions = machine.handle(.loaded(pieces(1...1)))
        for tries in 0..<WorkPace.tryLimit {
            #expect(actions.contains(.run(Piece(number: 1), tries: tries)))
            _ = machine.handle(.busy(1))
            actions = machine.handle(.pauseOver)
        }
        #expect(actions == [.run(Piece(number: 1), tries: WorkPace.tryLimit)])
    }

    @Test("J16: what runs is ended, and what is done stays") func cancelDrains() {
        var machine = Machine(widest: 2, firstNumber: 1)
        _ = machine.handle(.started)
        _ = machine.handle(.loaded(pieces(1...9)))
        #expect(machine.handle(.cancelRequested) == [.drain])
        #expect(machine.handle(.dropped(1)) == [])
        #expect(machine.handle(.finished(2)) == [.end(.cancelled)])
        var stubborn = Machine(widest: 2, firstNumber: 1)
        _ = stubborn.handle(.started)
        _ = stubborn.handle(.loaded(pieces(1...9)))
        #expect(stubborn.handle(.timeOver) == [.drain])
        #expect(stubborn.handle(.drainOver) == [.end(.expired)])
        #expect(stubborn.handle(.dropped(1)) == [])
        var fresh = Machine(widest: 2)
        #expect(fresh.handle(.cancelRequested) == [.end(.cancelled)])
    }
}
