import ArgumentParser
import MMoEData
import MMoEReport
import MMoETrain

extension DataCommand {
  struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make data sets of images, archives and Debian packages.",
      subcommands: [Images.self, Emoji.self])
  }

  struct Emoji: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Emoji as PNG files with their names in captions.jsonl, and spoken.",
      discussion: """
        Pictures of fonts-noto-color-emoji, names and groups of unicode-data. Variants of one emoji (skin tone, gender, the \
        same picture) are never on both sides.
        """)

    @Option(help: HelpText.newFolder) var out: OutputPath
    @Option(help: "A font of color bitmaps.") var font = EmojiImport.Options().font
    @Option(help: "Unicode's emoji-test.txt.") var list = EmojiImport.Options().list
    @Option(help: "Emoji held out for validation, without their variants.") var heldOut = EmojiImport.Options().heldOut
    @Option(help: "Flags held out for validation.") var heldOutFlags = EmojiImport.Options().heldOutFlags
    @Option(help: "Another seed holds out others.") var seed: UInt64 = 0
    @Flag(help: "Names spoken by espeak-ng, too, as WAV files; emoji that are held out by other voices.") var speech =
      false

    func run() throws {
      var options = EmojiImport.Options()
      (options.font, options.list, options.seed) = (font, list, seed)
      (options.heldOut, options.heldOutFlags) = (heldOut, heldOutFlags)
      if speech { options.speech = EmojiSpeech() }
      try BuiltInPairs.write(EmojiImport(options), to: out.folder("--out"), sink: StandardStream.output)
    }
  }
}
