import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Data and recipes that are wrong: the exit code, and a message that names the place and the value.
    @Suite struct BadData {
        /// A refusal with this code whose message holds all of `words`; never a crash.
        private static func expect(
            _ result: CommandResult, code: Int32, _ words: String..., at place: SourceLocation = #_sourceLocation
        ) {
            #expect(result.end == .code(code), "\(result.errors)", sourceLocation: place)
            for word in words {
                #expect(result.errors.contains(word), "'\(word)' in: \(result.errors)", sourceLocation: place)
            }
            #expect(!result.errors.contains("/blobs/"), "a server's path: \(result.errors)", sourceLocation: place)
        }

        @Test func filesThatCannotBeRead() async throws {
            try await TestHome.with { home in
                Self.expect(
                    try home.run("data", "add", "x", home.folder + "/missing.csv"), code: 66, "missing.csv")
                Self.expect(
                    try home.run("data", "add", "x", home.write("empty.csv", "")), code: 65, "empty.csv", "empty")
                let ragged = try home.write("ragged.csv", "wing,kind\n1.0,a\n2.0,b,9\n3.0,a\n")
                Self.expect(
                    try home.run("data", "add", "x", ragged), code: 65, "ragged.csv", "line 3", "3 cells", "2 columns")
                let bytes = Data("wing,kind\n1.0,a\n2.0,".utf8) + [0xFF, 0xFE, 0xFD, 0x61, 0x0A]
                Self.expect(
                    try home.run("data", "add", "x", home.write("bytes.csv", bytes)), code: 65, "bytes.csv", "line 3",
                    "UTF-8", "encoding")
                // What was refused was not added.
                let list = try home.run("data", "list")
                #expect(!list.output.contains("x "), "\(list.output)")
                Self.expect(try home.run("data", "show", "x"), code: 66, "no dataset 'x'")
            }
        }

        @Test func textWhereANumberMustBeIsNamedWithItsPlace() async throws {
            try await TestHome.with { home in
                var lines = TinyData.birds(rows: 100).split(separator: "\n").map(String.init)
                lines[40] = "abc,20.0,bank,martin"
                try home.json("data", "add", "birds", home.write("birds.csv", lines.joined(separator: "\n") + "\n"))
                let result = try home.run("train", home.write("birds.yaml", TinyData.recipe()))
                Self.expect(result, code: 65, "birds.csv", "line 41", "'wing'", "'abc'")
            }
        }

        @Test func aMisspeltKeyIsNamedWithTheNearest() async throws {
            try await TestHome.with { home in
                try home.addBirds()
                let recipe = TinyData.recipe().replacing("batch_size", with: "batch_sise")
                Self.expect(
                    try home.run("train", home.write("bad.yaml", recipe)), code: 65, "bad.yaml:12", "batch_sise",
                    "batch_size")
                Self.expect(try home.run("train", home.folder + "/none.yaml"), code: 66, "none.yaml")
                Self.expect(
                    try home.run("train", home.write("good.yaml", TinyData.recipe(source: "nowhere"))), code: 66,
                    "nowhere")
            }
        }

        @Test func aLabelThatTrainingNeverSawIsNamed() async throws {
            try await TestHome.with { home in
                try home.trainBirds()
                let rows = "wing,mass,nest,kind\n17.0,40.0,roof,雨燕\n12.0,20.0,bank,heron\n"
                try home.json("data", "add", "new", home.write("new.csv", rows))
                Self.expect(
                    try home.run("evaluate", "birds", "new"), code: 65, "new.csv", "line 3", "'kind'", "'heron'")
            }
        }

        @Test func aLossThatIsNotFiniteNamesStepAndCauseAndKeepsTheLastGoodCheckpoint() async throws {
            try await TestHome.with { home in
                let rows = (0..<200).map { "\(Double($0) / 10),\(Double($0) * 3)" }.joined(separator: "\n")
                try home.json("data", "add", "line", home.write("line.csv", "x,y\n\(rows)\n"))
                let recipe = """
                    name: line
                    data: {source: line}
                    inputs: {x: {type: number}}
                    outputs: {y: {type: number}}
                    combiner: {layers: [16, 16]}
                    training: {epochs: 20, batch_size: 16, optimizer: {type: sgd, learning_rate: 1e30}, checkpoint: {every: 1 step}}
                    """
                let result = try home.run("train", home.write("line.yaml", recipe))
                Self.expect(result, code: 65, "loss is", "at step", "learning rate of 1e+30", "checkpoint is kept")
                let jobs = try home.get("/api/v1/jobs")["data"]?.array ?? []
                let job = try #require(jobs.first { $0["name"]?.string == "line" && $0["kind"]?.string == "train" })
                #expect(job["state"]?.string == "failed")
                #expect(job["error"]?["code"]?.string == "training_diverged")
                let id = try #require(job["id"]?.string)
                let kept = try FileManager.default.contentsOfDirectory(
                    atPath: "\(home.home)/run/jobs/\(id)/checkpoints")
                #expect(kept.contains { $0.hasPrefix("step-") }, "\(kept)")
                #expect(try home.get("/api/v1/models")["data"]?.array?.isEmpty == true)
            }
        }

        @Test func I12_imagesThatAreNoneOrClaimTooMuch() async throws {
            try await TestHome.with { home in
                for (kind, shade) in [("dark", 40), ("light", 200)] {
                    try FileManager.default.createDirectory(
                        atPath: "\(home.folder)/shades/\(kind)", withIntermediateDirectories: true)
                    for index in 0..<20 {
                        let image = PNG.grey(UInt8(shade + index), side: 8)
                        try home.write("shades/\(kind)/\(index).png", image)
                    }
                }
                let recipe = """
                    name: shades
                    data: {source: SOURCE, split: {train: 0.7, validation: 0.15, test: 0.15, seed: 3, stratify: label}}
                    inputs:
                      image: {type: image, encoder: {type: cnn, channels: [4], kernel: 3, pool: 2}}
                    outputs:
                      label: {type: category}
                    training: {epochs: 2, batch_size: 8}
                    deploy: {as: shades}
                    """
                try home.json("data", "add", "shades", home.folder + "/shades")
                try home.json("train", home.write("shades.yaml", recipe.replacing("SOURCE", with: "shades")))
                let http = try home.http()
                let path = "/api/v1/deployments/shades/predict"
                let type = ["Content-Type": "image/png"]
                let good = try http.request("POST", path, headers: type, body: PNG.grey(45, side: 8))
                #expect(good.status == 200, "\(good.text)")
                let none = try http.request("POST", path, headers: type, body: Data("no image".utf8))
                #expect(none.status == 400 && none.message.contains("PNG"), "\(none.text)")
                let bomb = PNG.grey(45, side: 8, claims: 65_535)
                let large = try http.request("POST", path, headers: type, body: bomb)
                #expect(large.status == 400 && large.message.contains("65535 × 65535"), "\(large.text)")

                for (name, image, word) in [
                    ("none.png", Data("no image".utf8), "neither PNG nor JPEG"), ("bomb.png", bomb, "65535 × 65535"),
                ] {
                    let path = try home.write("shades/dark/\(name)", image)
                    let source = String(name.prefix(4))
                    try home.json("data", "add", source, home.folder + "/shades")
                    try FileManager.default.removeItem(atPath: path)
                    let yaml = try home.write("\(source).yaml", recipe.replacing("SOURCE", with: source))
                    Self.expect(try home.run("train", yaml), code: 65, "dark/\(name)", word)
                }
                #expect(try http.request("POST", path, headers: type, body: PNG.grey(45, side: 8)).status == 200)
            }
        }
    }
}
