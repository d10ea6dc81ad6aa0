import Foundation
import MartletPlatform
import MartletWire
import Testing

@Suite("Files that come in parts") struct UploadTests {
    private func incoming(_ bench: Bench, _ text: String) throws -> IncomingFile {
        let file = try bench.platform.files.begin(by: bench.admin)
        try file.append(Array(text.utf8))
        return file
    }

    @Test func anUploadSurvivesARestartAndACollection() async throws {
        let bench = try await Bench()
        let upload = try await bench.platform.uploads.create(
            filename: "a.txt", purpose: .userData, mimeType: "text/plain", byteCount: 6, by: bench.admin)
        let first = try await bench.platform.uploads.addPart(
            incoming(bench, "abc"), to: upload.id, by: bench.admin)
        try await bench.stop(keep: true)

        let again = try await Bench(home: bench.home)
        _ = try await again.platform.garbage.collect(dryRun: false, by: again.admin)
        let second = try await again.platform.uploads.addPart(
            incoming(again, "def"), to: upload.id, by: again.admin)
        let (done, file) = try await again.platform.uploads.complete(
            upload.id, partIDs: [first.id, second.id], by: again.admin)
        #expect(done.status == .completed && file.byteCount == 6)
        // The parts are garbage now, and the file is not.
        let report = try await again.platform.garbage.collect(dryRun: false, by: again.admin)
        #expect(report.removedCount == 2 && report.rows.contains { $0.kind == "file" && $0.byteCount == 6 })
        let content = try await again.platform.files.content(of: file.id, by: again.admin)
        #expect(try String(contentsOfFile: content.localPath, encoding: .utf8) == "abcdef")
        #expect(content.contentType == "text/plain; charset=utf-8")
        try await again.stop()
    }
}
