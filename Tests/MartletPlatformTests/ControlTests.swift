import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

/// The control socket and what happens to requests when their replica, their client or the queue gives way.
@Suite(.serialized) struct ControlTests {
    /// A deployment `live` whose replica takes requests and leaves the answers to the test.
    private func deploy(_ bench: Bench) async throws -> (FakeEngine.Started, FakeConnection) {
        _ = try await bench.importDataset("d")
        _ = try await bench.train()
        async let deployed = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        let replica = try #require(await bench.engine.next())
        let (connection, _) = try await replica.dial()
        try await connection.sayReady()
        _ = try await deployed
        return (replica, connection)
    }

    private func ask(_ bench: Bench) -> Task<[UInt8], any Error> {
        Task {
            try await bench.platform.deployments.infer(
                model: "live", request: InferenceRequest(api: .predict), body: [1], by: bench.admin
            ).1
        }
    }

    /// The next inference that the replica is asked for.
    private func nextInference(_ connection: FakeConnection) async throws -> Frame {
        while let (request, frame) = try await connection.nextRequest() {
            if case .infer = request { return frame }
            try connection.reply(to: frame, Acknowledged())
        }
        throw MartletError(.unavailable, "closed")
    }

    @Test func whoHasNoTokenGetsNothing() async throws {
        let bench = try await Bench()
        let path = bench.home + "/run/control.sock"
        let stranger = try FakeConnection(path: path)
        #expect(
            await code { try await stranger.request(.hello(.init(token: "x", pid: 1, isReturning: false))) }
                == .unauthenticated)
        let silent = try FakeConnection(path: path)
        #expect(await code { try await silent.request(.progress(JobProgress(phase: "training"))) } == .unauthenticated)
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        try await bench.stop()
    }

    @Test func aHomeWithALongPathHasAShortSocket() async throws {
        let root = NSTemporaryDirectory() + "martlet-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: root) }
        let bench = try await Bench(home: root + String(repeating: "/a-long-name", count: 10))
        _ = try await bench.addDataset("d", ["data.csv": "x,y\n1,2\n"])
        let worker = try #require(await bench.engine.next())
        #expect(worker.socket.utf8.count <= 100)
        let folder = (worker.socket as NSString).deletingLastPathComponent
        let attributes = try FileManager.default.attributesOfItem(atPath: folder)
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o700)
        let (connection, _) = try await worker.dial()
        connection.close()
        worker.kill()
        try await bench.stop()
        #expect(!FileManager.default.fileExists(atPath: folder))
    }

    @Test func aFrameThatAnnouncesTooMuchEndsTheConnection() async throws {
        let bench = try await Bench()
        let connection = try FakeConnection(path: bench.home + "/run/control.sock")
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(UInt32(Frame.byteLimit + 1))
        connection.send(bytes + [UInt8](repeating: 0, count: 64))
        #expect(try await connection.nextRequest() == nil)
        try await bench.stop()
    }

    @Test func aFullQueueIsRefusedAtOnce() async throws {
        let bench = try await Bench { $0.replicaQueueLimit = 1 }
        let (replica, connection) = try await deploy(bench)
        let first = ask(bench)
        let frame = try await nextInference(connection)
        let (refused, time) = try await counted { await code { _ = try await ask(bench).value } }
        #expect(refused == .unavailable && time < .seconds(1))
        try connection.reply(
            to: frame, InferenceReply(rows: 1, queueMicroseconds: 1, computeMicroseconds: 1), body: [2])
        #expect(try await first.value == [2])
        replica.kill()
        try await bench.stop()
    }

    @Test func aClientThatLeavesIsToldToTheReplica() async throws {
        let bench = try await Bench()
        let (replica, connection) = try await deploy(bench)
        let request = ask(bench)
        let frame = try await nextInference(connection)
        request.cancel()
        #expect(await code { _ = try await request.value } == .cancelled)
        var cancelled: UInt64?
        for await next in connection.requests where next.kind == .cancel {
            cancelled = next.id
            break
        }
        #expect(cancelled == frame.id)
        replica.kill()
        try await bench.stop()
    }

    @Test func aConnectionThatDropsFailsWhatWaitsForIt() async throws {
        let bench = try await Bench()
        let (replica, connection) = try await deploy(bench)
        let requests = [ask(bench), ask(bench)]
        for _ in requests { _ = try await nextInference(connection) }
        replica.kill()
        connection.close()
        for request in requests { #expect(await code { _ = try await request.value } == .unavailable) }
        try await bench.stop()
    }

    @Test func aReplicasErrorReachesTheCallerAsItIs() async throws {
        let bench = try await Bench()
        let (replica, connection) = try await deploy(bench)
        let request = ask(bench)
        let frame = try await nextInference(connection)
        let error = MartletError(.invalidRequest, "column 'age', row 1: 'abc' is not a number", param: "age")
        connection.send(
            Frame(kind: .failure, id: frame.id, head: [UInt8](try JSONEncoder.wire.encode(error))).encoded())
        await #expect(throws: error) { _ = try await request.value }
        replica.kill()
        try await bench.stop()
    }
}
