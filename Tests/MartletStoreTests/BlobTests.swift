import Foundation
import MartletStore
import MartletWire
import Testing

@Suite final class BlobTests {
    let home: String

    init() throws {
        home = NSTemporaryDirectory() + "martlet-store-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    }

    deinit { remove() }

    private func remove() { try? FileManager.default.removeItem(atPath: home) }

    @Test func bytesLieUnderTheirHashAndTheSameBytesOnce() throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let first = try blobs.store(Array("abc".utf8))
        #expect(first.hash == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(try blobs.store(Array("abc".utf8)) == first)
        let path = try blobs.path(of: first.hash)
        #expect(path.hasSuffix("/blobs/sha256/ba/\(first.hash)"))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "abc")
    }

    /// Whatever became of a blob's bytes: the same file again brings them back, also where folders link to it.
    @Test(arguments: [100, 2 << 20]) func aDamagedBlobIsMendedByTheSameBytesAgain(byteCount: Int) throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let bytes = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let blob = try blobs.store(bytes)
        let files = [TreeFile(path: "weights", hash: blob.hash, byteCount: byteCount)]
        let folders = try TreeFolders(home: home, blobs: blobs)
        let folder = try folders.folder(of: try Tree(files: files))
        let path = try blobs.path(of: blob.hash)
        var turned = bytes
        turned[byteCount / 2] ^= 1
        for damage in [turned, Array(bytes.prefix(byteCount / 2)), bytes + [0], []] {
            chmod(path, 0o600)
            // In place, so that the folder's link has the same bytes.
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            try file.truncate(atOffset: 0)
            try file.write(contentsOf: Data(damage))
            try file.close()
            chmod(path, 0o400)
            #expect(throws: MartletError.self) { try folders.verify(files, in: folder) }
            #expect(try blobs.store(bytes) == blob)
            #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == bytes)
            try folders.verify(files, in: folder, trustsStamps: true)
            var status = stat()
            #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o400)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: home + "/blobs/incoming").isEmpty)
        // Pinned once for each time that it was stored.
        blobs.unpin(Array(repeating: blob.hash, count: 5))
        #expect(try blobs.beginCollection().map(\.hash) == [blob.hash])
        blobs.endCollection()
    }

    @Test(arguments: [
        "../../etc/passwd", "", "sha256:abc", String(repeating: "A", count: 64), String(repeating: "a", count: 63),
    ])
    func aHashThatIsNotOneIsNoPath(_ hash: String) throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        #expect(throws: MartletError.self) { try blobs.path(of: hash) }
    }

    @Test func whatWasHalfWrittenIsGoneAtTheNextStart() throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let writer = try blobs.writer()
        try Array("half".utf8).withUnsafeBytes { try writer.append($0) }
        _ = try BlobStore(home: home)
        #expect(try FileManager.default.contentsOfDirectory(atPath: home + "/blobs/incoming").isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: home + "/blobs/sha256").isEmpty)
        writer.abandon()
    }

    @Test func aBlobThatCannotBePlacedLeavesNothingBehind() throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let inTheWay = home + "/blobs/sha256/ba"
        try Data().write(to: URL(filePath: inTheWay))
        #expect(throws: MartletError.self) { try blobs.store(Array("abc".utf8)) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: home + "/blobs/incoming").isEmpty)
        try FileManager.default.removeItem(atPath: inTheWay)
        let stored = try blobs.store(Array("abc".utf8))
        blobs.unpin([stored.hash])
        #expect(try blobs.beginCollection().map(\.hash) == [stored.hash])
        blobs.endCollection()
    }

    @Test func theCollectorLeavesWhatIsBeingReferredTo() throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let held = try blobs.store(Array("held".utf8))
        let free = try blobs.store(Array("free".utf8))
        blobs.unpin([free.hash])
        #expect(try blobs.beginCollection().map(\.hash) == [free.hash])
        // Stored again meanwhile: somebody is about to refer to it.
        _ = try blobs.store(Array("free".utf8))
        #expect(try !blobs.remove(free.hash))
        blobs.unpin([free.hash])
        #expect(try !blobs.remove(free.hash))
        blobs.endCollection()
        #expect(try blobs.beginCollection().map(\.hash) == [free.hash])
        #expect(try blobs.remove(free.hash))
        #expect(try blobs.contains(held.hash) && !blobs.contains(free.hash))
    }

    @Test(arguments: [
        "../x", "/etc/passwd", "a/../b", "a//b", "a\\b", "a\u{0}b", "%2e%2e/x", "%252e%252e/x", "file:///x", ".", "a/",
        "a\nb", "",
    ])
    func aNameThatLeadsElsewhereIsRefused(_ name: String) {
        #expect(throws: MartletError.self) { try RelativePath.check(name) }
    }

    @Test func namesInAnyScriptAreFineAndCollisionsAreNot() throws {
        try RelativePath.check(["标签/雨燕.csv", "Ünï.csv", "100%.csv"])
        #expect(throws: MartletError.self) { try RelativePath.check(["a.csv", "A.csv"]) }
        #expect(throws: MartletError.self) { try RelativePath.check(["e\u{301}.csv", "\u{e9}.csv"]) }
        #expect(throws: MartletError.self) { try RelativePath.check(["a", "a/b"]) }
    }

    @Test func aTreeIsLaidOutAsAFolderAndItsHashIsThatOfTheList() throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let blob = try blobs.store(Array("abc".utf8))
        let files = ["b/c.txt", "a.txt"].map { TreeFile(path: $0, hash: blob.hash, byteCount: 3) }
        let tree = try Tree(files: files)
        #expect(tree == (try Tree(files: files.reversed())))
        let folders = try TreeFolders(home: home, blobs: blobs)
        let folder = try folders.folder(of: tree)
        #expect(try String(contentsOfFile: folder + "/b/c.txt", encoding: .utf8) == "abc")
        #expect(try folders.folder(of: tree) == folder)
        #expect(folders.all() == [tree.hash])
    }

    /// Bytes that were hashed when they were stored are trusted for as long as the file system says that they are the
    /// same, and hashed again beside the work: a bit that turned without a trace is found then, and from then on.
    @Test func aLargeFileIsHashedAgainOnceItWasTouched() async throws {
        defer { remove() }
        let blobs = try BlobStore(home: home)
        let blob = try blobs.store([UInt8](repeating: 7, count: 2 << 20))
        let files = [TreeFile(path: "weights", hash: blob.hash, byteCount: 2 << 20)]
        let folders = try TreeFolders(home: home, blobs: blobs)
        let folder = try folders.folder(of: try Tree(files: files))
        #expect(try folders.verify(files, in: folder, trustsStamps: true) == files)
        #expect(try folders.verify(files, in: folder).isEmpty)
        try await folders.verifyAgain(files, in: folder)

        let path = folder + "/weights"
        func turnABit(time: Int?) throws {
            var status = stat()
            #expect(lstat(path, &status) == 0)
            chmod(path, 0o600)
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            try file.seek(toOffset: 1 << 20)
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: 1 << 20)
            try file.write(contentsOf: Data([byte ^ 0x10]))
            try file.close()
            var times = [status.st_atim, time.map { timespec(tv_sec: $0, tv_nsec: 0) } ?? status.st_mtim]
            #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
        }
        try turnABit(time: nil)
        #expect(try folders.verify(files, in: folder, trustsStamps: true) == files)
        await #expect(throws: MartletError.self) { try await folders.verifyAgain(files, in: folder) }
        #expect(throws: MartletError.self) { try folders.verify(files, in: folder, trustsStamps: true) }

        try turnABit(time: 1_000_000_000)
        #expect(try folders.verify(files, in: folder, trustsStamps: true).isEmpty)
        #expect(try folders.verify(files, in: folder, trustsStamps: true) == files)
        try turnABit(time: 1_100_000_000)
        #expect(throws: MartletError.self) { try folders.verify(files, in: folder, trustsStamps: true) }
    }
}
