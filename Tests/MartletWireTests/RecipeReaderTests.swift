import MartletWire
import Testing

@Suite struct RecipeReaderTests {
    static let good = """
        name: fashion
        data:
          source: fashion-mnist
          clean:
            - drop_missing: {columns: [age]}
            - fill: {columns: [income], with: median}
            - drop_duplicates: {}
          augment: [{flip: horizontal}, {crop: {padding: 2}}, {rotate: {degrees: 5}}]
        inputs:
          image: {type: image, encoder: {type: cnn, channels: [32, 64], kernel: 3, pool: [1, 2]}}
          age: number
        outputs:
          label: {type: category, loss: {type: cross_entropy, class_weights: balanced, label_smoothing: 0.1}}
        combiner: {layers: [128], dropout: 0.2}
        training:
          optimizer: {type: adam}
          schedule: {type: cosine, warmup_steps: 100}
          early_stopping: {patience: 5}
        deploy: fashion
        """

    @Test func readsEveryForm() throws {
        let recipe = try RecipeReader.read(text: Self.good, file: "a.yaml").recipe
        #expect(recipe.data.source.all == ["fashion-mnist"])
        #expect(recipe.data.clean[1] == .fill(columns: ["income"], with: .median))
        #expect(recipe.data.augment == [.flip(.horizontal), .crop(padding: 2), .rotate(degrees: 5)])
        #expect(recipe.inputs.map(\.name) == ["image", "age"])
        #expect(recipe.inputs[0].encoder?.pool == [1, 2])
        #expect(recipe.inputs[0].encoder?.kernel == [3])
        #expect(recipe.outputs[0].loss?.labelSmoothing == 0.1)
        #expect(recipe.training.earlyStopping?.patience == 5)
        #expect(recipe.training.earlyStopping?.metric == "validation.loss")
        #expect(recipe.training.optimizer.learningRate == 0.001)
        #expect(recipe.deploy?.as == "fashion")
    }

    @Test func theTreeOfAReadRecipeReadsTheSame() throws {
        let first = try RecipeReader.read(text: Self.good, file: "a.yaml")
        #expect(try RecipeReader.read(json: first.tree).recipe == first.recipe)
    }

    @Test(arguments: [
        ("trainig: {epochs: 1}", "unknown key 'trainig'; did you mean 'training'?"),
        ("training: {epochs: five}", "training.epochs: 'five' is not a whole number of at least 1"),
        ("training: {optimizer: {type: adan}}", "did you mean 'adam'?"),
        ("data: {source: x, split: {train: 0.5}}", "add up to 0.7"),
        ("data: {source: x, clean: [{fil: {}}]}", "unknown cleaning step 'fil'; did you mean 'fill'?"),
        ("data: {source: x, clean: [{fill: {columns: a}}]}", "'with' is missing"),
        ("inputs: {a: {type: image, encoder: lstm}}", "cannot have a lstm encoder"),
        ("outputs: {a: {type: number, loss: cross_entropy}}", "use one of mse, mae, huber"),
        ("training: {checkpoint: {every: soon}}", "'soon' is not a time, steps or epochs"),
        ("evaluation: {require: {accuracy: 0.9}}", "0.9 is not a bar such as '>= 0.90'"),
    ])
    func refusesWithPathExpectationAndNearestName(text: String, message: String) throws {
        let full = Self.filled(text)
        let error = try #require(throws: MartletError.self) { try RecipeReader.read(text: full, file: "r.yaml") }
        #expect(error.code == .invalidRecipe)
        #expect(error.message.contains(message), "\(error.message)")
        #expect(error.message.contains("r.yaml:"))
    }

    /// The line under test with what else a recipe must have.
    static func filled(_ text: String) -> String {
        var lines = [text]
        if !text.hasPrefix("data") { lines.append("data: {source: x}") }
        if !text.hasPrefix("inputs") { lines.append("inputs: {b: number}") }
        if !text.hasPrefix("outputs") { lines.append("outputs: {c: category}") }
        return lines.joined(separator: "\n")
    }

    @Test func namesTheLineOfAFault() throws {
        let text =
            "data:\n  source: x\ninputs: {b: number}\noutputs: {c: category}\ntraining:\n  epochs: 3\n  batch: 8\n"
        let error = try #require(throws: MartletError.self) { try RecipeReader.read(text: text, file: "r.yaml") }
        #expect(error.message.hasPrefix("r.yaml:7: training.batch: unknown key 'batch'"), "\(error.message)")
    }

    @Test func settingsOverrideTheFile() throws {
        let recipe = try RecipeReader.read(
            text: Self.good, file: "a.yaml",
            settings: ["training.epochs=2", "inputs.age={type: number, normalize: minmax}"]
        ).recipe
        #expect(recipe.training.epochs == 2)
        #expect(recipe.inputs[1].normalize == .minmax)
    }

    /// What an option brought is no fault of the file.
    @Test(arguments: [
        ("training.epochs=five", "training.epochs: 'five' is not a whole number of at least 1"),
        ("training.optimizer={type: adan}", "training.optimizer.type: 'adan' is not one of"),
        ("training.batch=8", "training.batch: unknown key 'batch'"),
        ("evaluation.sample.tokens=-1", "evaluation.sample.tokens: -1 is not a whole number"),
        ("outputs.label.loss=mse", "outputs.label.loss.type: a category output cannot have the loss mse"),
        ("data.split.train=0.5", "data.split: train, validation and test add up to 0.7"),
        ("data.clean.0={fil: {}}", "data.clean[0]: unknown cleaning step 'fil'"),
    ])
    func aFaultOfASettingNamesTheOptionAndItsValue(setting: String, message: String) throws {
        let error = try #require(throws: MartletError.self) {
            try RecipeReader.read(text: Self.good, file: "r.yaml", settings: [setting])
        }
        #expect(error.code == .invalidRecipe)
        #expect(error.message.hasPrefix("--set \(setting): \(message)"), "\(error.message)")
    }

    @Test func aFaultOfASectionNamesWhatASettingChangedInIt() throws {
        let text = Self.filled("data: {source: x, split: {train: 0.8, test: 0.1}}")
        let error = try #require(throws: MartletError.self) {
            try RecipeReader.read(text: text, file: "r.yaml", settings: ["data.split.test=0.4"])
        }
        #expect(error.message.hasPrefix("--set data.split.test=0.4: data.split: train, validation"), "\(error.message)")
    }

    @Test func aSettingThatCannotBePlacedNamesItself() throws {
        for setting in ["name.first=x", "data.clean.9.fill=x"] {
            let error = try #require(throws: MartletError.self) {
                try RecipeReader.read(text: Self.good, file: "r.yaml", settings: [setting])
            }
            #expect(error.code == .usage && error.message.hasPrefix("--set \(setting): "), "\(error.message)")
        }
        // What stands in the file is still told by its line.
        let error = try #require(throws: MartletError.self) {
            try RecipeReader.read(text: Self.good + "\nlater: 1", file: "r.yaml", settings: ["training.epochs=2"])
        }
        #expect(error.message.hasPrefix("r.yaml:20: later: unknown key"), "\(error.message)")
    }

    @Test(arguments: ["[", "a: [b", "a: 1\na: 2", "", "&a [*a]", String(repeating: "[", count: 10_000)])
    func brokenTextIsAnErrorAndNotACrash(text: String) {
        #expect(throws: MartletError.self) { try RecipeReader.read(text: text, file: "r.yaml") }
    }

    @Test func theSchemaListsWhatTheReaderKnows() {
        #expect(RecipeReader.jsonSchema["properties"]?["training"]?["properties"]?["batch_size"] != nil)
    }
}
