import ArgumentParser
import MMoEData
import MMoEReport
import MMoETrain

struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Make and look at data sets.",
    subcommands: [
      Synthesize.self, Tokenize.self, ImportBin.self, Import.self, Fetch.self, Inspect.self, Preview.self,
      Baseline.self,
    ])

  struct Synthesize: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Render labeled shapes as PNG files in the ImageFolder layout.")

    @Argument(help: "The folder to make.") var directory: String
    @Option(help: "Classes, 2 to \(ShapeSynthesizer.maximumClasses).") var classes = 10
    @Option(help: "Width and height in pixels.") var size = 32
    @Option(help: "Training images of a class.") var train = 1000
    @Option(help: "Validation images of a class.") var val = 200
    @Option(help: "Another seed gives other pictures.") var seed: UInt64 = 0

    func run() throws {
      let output = StandardStream.output
      try ShapeSynthesizer(classes: classes, imageSize: size, seed: seed).write(
        to: directory, trainPerClass: train, valPerClass: val
      ) { done, total in
        if output.isTerminal { output.write("\r\(done)/\(total) images") }
      }
      output.line(
        "\(output.isTerminal ? "\r" : "")\(classes * (train + val)) images of \(classes) classes in \(directory)"
      )
    }
  }

  struct Baseline: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "How far a linear model and 5 nearest neighbors on raw pixels get; for pairs, words and colors.")

    @Argument(
      help:
        "A folder of images per class, with train and val folders above them or not; with captions.jsonl; or fashion-mnist."
    )
    var directory: String
    @Option(help: "Images are resized to this side.") var size = 32
    @OptionGroup var format: JSONOnlyOption

    func run() throws {
      if PairFolder.isOne(directory) {
        let baselines = try PairBaselines(path: directory)
        StandardStream.output.line(format.json ? JSONValue.line(baselines) : baselines.text)
        return
      }
      let baselines = try PixelBaselines(
        path: NamedImages.path(directory, sink: StandardStream.error), imageSize: size)
      StandardStream.output.line(format.json ? JSONValue.line(baselines) : baselines.text)
    }
  }
}
