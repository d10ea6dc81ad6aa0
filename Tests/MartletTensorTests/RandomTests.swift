import CKernels
import Foundation
import MartletTensor
import Testing

@Suite(.serialized) struct RandomTests {
    let key = RandomKey(seed: 7, purpose: 1, step: 3, stream: 5)

    @Test func theGeneratorGivesThePublishedVectors() {
        // Known answers of philox4x32-10 from Random123's kat_vectors.
        let cases: [(key: [UInt32], counter: [UInt32], output: [UInt32])] = [
            ([0, 0], [0, 0, 0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [0xffff_ffff, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
            ),
            (
                [0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ]
        for item in cases {
            var output = [UInt32](repeating: 0, count: 4)
            ck_philox_block(item.key, item.counter, &output)
            #expect(output == item.output)
        }
    }

    @Test func theNumbersDoNotHangOnTheThreads() throws {
        let before = Torch.threadCount
        defer { try? Torch.setThreadCount(before) }
        var made: [[Float]] = []
        for threads in [1, 2, 3] {
            try Torch.setThreadCount(threads)
            let mask = try Tensor.dropoutMask([100_003], p: 0.3, key: key)
            let normal = try Tensor.normal([100_003], key: key)
            made.append(try mask.array(of: Float.self) + normal.array(of: Float.self))
        }
        #expect(made[0] == made[1] && made[1] == made[2])
    }

    @Test func eachPartOfTheKeyChangesTheNumbers() throws {
        var keys = [key]
        for change in [\RandomKey.seed, \.step, \.stream] {
            var other = key
            other[keyPath: change] += 1
            keys.append(other)
        }
        keys.append(RandomKey(seed: 7, purpose: 2, step: 3, stream: 5))
        // Swapped parts must not meet.
        keys.append(RandomKey(seed: 7, purpose: 1, step: 5, stream: 3))
        let streams = Set(keys.map { $0.uniform(4) })
        #expect(streams.count == keys.count)
        #expect(key.uniform(4) == key.uniform(100).prefix(4).map { $0 })
    }

    @Test func dropoutDropsAndScales() throws {
        let mask = try Tensor.dropoutMask([1000, 1000], p: 0.25, key: key)
        let dropped = try mask.eq(0).to(.float64).mean().item()
        // Five standard deviations of a million draws.
        #expect(abs(dropped - 0.25) < 0.0022)
        #expect(try mask.max().item() == Double(Float(1 / 0.75)))
        #expect(try Tensor.dropoutMask([77], p: 0, key: key).sum().item() == 77)
        #expect(try Tensor.dropoutMask([77], p: 1, key: key).sum().item() == 0)
        #expect(try Tensor.dropoutMask([77], p: 0.5, key: key, type: .float64).scalarType == .float64)
        #expect(throws: TensorError.self) { try Tensor.dropoutMask([2], p: 1.5, key: key) }
        #expect(throws: TensorError.self) { try Tensor.uniform([2], key: key, type: .int64) }
    }

    @Test func momentsAreThoseOfTheDistributions() throws {
        let u = try Tensor.uniform([1_000_000], low: -2, high: 4, key: key, type: .float64)
        #expect(abs(try u.mean().item() - 1) < 0.01)
        #expect(abs(try u.variance([0]).item() - 3) < 0.02)
        #expect(try u.min().item() >= -2 && u.max().item() < 4)
        let n = try Tensor.normal([1_000_000], mean: 3, std: 2, key: key, type: .float64)
        #expect(abs(try n.mean().item() - 3) < 0.01)
        #expect(abs(try n.variance([0]).item() - 4) < 0.03)
        let centred = try n.sub(3).div(2)
        #expect(abs(try centred.pow(4).mean().item() - 3) < 0.05)
        // Neighbours are independent.
        let lag = try centred.slice(0, to: 999_999).mul(centred.slice(0, from: 1)).mean().item()
        #expect(abs(lag) < 0.005)
    }

    @Test func permutationsHoldEveryNumberOnce() {
        let order = key.permutation(10_000)
        #expect(order.sorted() == (0..<10_000).map { Int64($0) })
        #expect(order != order.sorted())
        #expect(key.permutation(0).isEmpty && key.permutation(1) == [0])
        // Every order of three comes up about equally often.
        var seen: [[Int64]: Int] = [:]
        for stream in 0..<6000 {
            seen[RandomKey(seed: 1, purpose: 9, stream: UInt64(stream)).permutation(3), default: 0] += 1
        }
        #expect(seen.count == 6)
        #expect(seen.values.allSatisfy { abs($0 - 1000) < 150 })
    }
}
