import Foundation
import MartletWire

/// Graders as they lie in a file, with what the model is asked.
struct GraderFile {
    let criteria: JSON
    /// `sampling_params` and `input_messages` of the run, where the file has them.
    let asked: JSONObject

    /// Throws `notFound` and `invalidRecipe` for a file that cannot be read.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8)
        else { throw MartletError(.notFound, "the graders '\(path)' cannot be read; check the path") }
        let tree = try ConfigNode(text: text, file: path).json
        guard let object = tree.object, object["testing_criteria"] != nil else {
            // One grader or a list of them.
            criteria = tree.array == nil ? [tree] : tree
            asked = JSONObject()
            return
        }
        let known = ["testing_criteria", "sampling_params", "input_messages"]
        if let other = object.keys.first(where: { !known.contains($0) }) {
            throw MartletError(
                .invalidRecipe, "\(path): unknown key '\(other)'; known are \(known.joined(separator: ", "))",
                param: other)
        }
        criteria = object["testing_criteria"] ?? []
        asked = JSONObject(object.filter { $0.key != "testing_criteria" })
    }
}

/// Lines of a dataset as the items of an eval.
struct EvalItems {
    let items: [JSON]
    /// Whether every item has messages to ask, as `item.input`.
    let haveInput: Bool

    /// Reads JSON lines from a file, or from all files of a folder. A conversation that ends with the assistant's answer
    /// becomes `input`, the messages before it, and `reference`, the answer; a `prompt` becomes `input` too.
    /// - Throws: `invalidData` that names file and line.
    init(path: String) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw MartletError(.notFound, "there is no file or folder '\(path)'; check the path")
        }
        let names =
            isFolder.boolValue
            ? try FileManager.default.subpathsOfDirectory(atPath: path).filter { !$0.hasPrefix(".") }.sorted().map {
                "\(path)/\($0)"
            } : [path]
        var items: [JSON] = []
        for name in names {
            guard let data = FileManager.default.contents(atPath: name) else { continue }
            for (number, line) in data.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
                guard line.contains(where: { $0 > 0x20 }) else { continue }
                let place = "\((name as NSString).lastPathComponent), line \(number + 1)"
                let value: JSON
                do { value = try JSONParser.parse(Data(line)) } catch let error as MartletError {
                    throw MartletError(.invalidData, "\(place): \(error.message)")
                }
                guard let object = value.object else {
                    throw MartletError(.invalidData, "\(place): \(value.kind) stands where an object must be")
                }
                items.append(["item": .object(Self.item(object))])
            }
        }
        guard !items.isEmpty else {
            throw MartletError(.invalidData, "'\(path)' has no lines to ask; give one JSON object a line")
        }
        self.items = items
        haveInput = items.allSatisfy { $0["item"]?["input"]?.array != nil }
    }

    private static func item(_ object: JSONObject) -> JSONObject {
        var item = object
        guard object["input"] == nil else { return item }
        if var messages = object["messages"]?.array {
            if messages.last?["role"] == "assistant", let answer = messages.popLast() {
                if object["reference"] == nil { item["reference"] = answer["content"] }
            }
            item["input"] = .array(messages)
        } else if let prompt = object["prompt"]?.string {
            item["input"] = [["role": "user", "content": .string(prompt)]]
        }
        return item
    }
}
