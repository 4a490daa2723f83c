import ArgumentParser
import MMoEData
import MMoEReport
import MMoERuns

extension BadImagePolicy: ExpressibleByArgument {}

extension DataCommand {
  struct Images: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Folders and archives of images as PNG files in the ImageFolder layout.",
      discussion: """
        Reads \(ImageImport.forms). Images are PNG, JPEG or WebP, told by their content. The source is only read. The folder \
        appears when it is complete, with a manifest.json that says where the images come from; after an interruption the same \
        command goes on where it was.
        """)

    @Argument(help: "A folder, or a tar or zip archive.") var source: String
    @Option(help: HelpText.newFolder) var out: OutputPath
    @Option(help: "Pixels of the shorter side of larger images; 0 = every image keeps its size.") var size = 256
    @Option(
      help: "Share of each class for validation, where the source does not say it: 0.1, chosen by content.")
    var validationShare: Double?
    @Option(
      help: "A file with a class on each line, then perhaps its name: only these (such as datasets/imagenet-100.txt).")
    var classes: String?
    @Option(help: "A file with the classes of validation images that are in no class folders.") var validationList:
      String?
    @Option(help: "At most so many images of each class, of each part where the source has parts.") var perClass: Int?
    @Option(help: "At an image that cannot be read: error once all others are done, or skip it.")
    var onBadImage = BadImagePolicy.error
    @Option(help: "What the manifest says of the license.") var license: String?
    @OptionGroup var compute: ThreadsOption

    func run() throws {
      var options = ImageImport.Options()
      options.size = size == 0 ? nil : size
      options.validationShare = validationShare
      (options.classes, options.validationList, options.perClass) = (classes, validationList, perClass)
      options.skipsBadImages = onBadImage == .skip
      options.license = license
      if let threads = compute.threads { options.threads = threads }
      try ImageImportWork.run(source, to: out.folder("--out"), options, sink: StandardStream.output)
    }
  }
}
