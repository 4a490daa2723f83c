import ArgumentParser
import MMoEReport
import MMoERuns

extension DataCommand {
  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What a data set holds, divided as training divides it: counts, sizes, duplicates, bad files.",
      discussion: """
        Reads everything: images and recordings are decoded, texts and token shards read to their end. Duplicates are found by what \
        is decoded, in each part and across train and validation. Exit status 1 where there is something that training stops at.
        """)

    @Argument(
      help:
        "A folder of images per class, with train and val folders above them or not; with captions.jsonl; a text, or a folder of texts or token shards; or fashion-mnist."
    ) var directory: String
    @Option(help: "Also draw images or items, a row for each class: a PNG file.") var sheet: OutputPath?
    @OptionGroup var overrides: SettingsOption
    @OptionGroup var format: JSONOnlyOption

    func run() throws {
      var options = InspectSession.Options()
      (options.data, options.sheet) = (directory, try sheet?.file("--sheet"))
      (options.settings, options.printsJSON) = (overrides.settings, format.json)
      try InspectSession(options).run()
    }
  }

  struct Preview: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Draw samples as training shows them, augmented.",
      discussion: """
        A row for each of the first samples of training: as the model gets it without augmentation, then what the first epochs show. \
        Task, preset, data and settings are those of `mmoe train`, and the pixels are the same; without --task and --preset the data \
        decides. Recordings are drawn as spectrograms.
        """)

    @OptionGroup var work: TaskOption
    @Option(help: HelpText.preset) var preset: String?
    @OptionGroup var set: DataOption
    @OptionGroup var overrides: SettingsOption
    @Option(help: "The PNG file to draw.") var out: OutputPath
    @Option(help: "Samples, 1 to 100.") var count = PreviewSession.Options().count
    @Option(help: "Epochs of each sample, 1 to 20.") var draws = PreviewSession.Options().draws

    func validate() throws {
      guard 1...100 ~= count else { throw ValidationError("--count is \(count), expected 1 to 100") }
      guard 1...20 ~= draws else { throw ValidationError("--draws is \(draws), expected 1 to 20") }
    }

    func run() throws {
      var options = PreviewSession.Options()
      (options.task, options.preset, options.data) = (work.task, preset, set.data)
      (options.settings, options.out) = (overrides.settings, try out.file("--out"))
      (options.count, options.draws) = (count, draws)
      try PreviewSession(options).run()
    }
  }
}
