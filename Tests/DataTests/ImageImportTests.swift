import Foundation
import MMoEFiles
import Testing

@testable import MMoEData

/// `mmoe data import images`, on sources made here.
@Suite struct ImageImportTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private var out: String { folder.path + "/out" }

  /// A picture of its own for every number.
  private func picture(_ number: Int, width: Int = 24, height: Int = 16) -> RGBImage {
    .plain(width: width, height: height, [UInt8(number * 37 % 256), UInt8(number * 91 % 256), UInt8(number)])
  }

  /// Class folders `a b` and `dog` of JPEG, PNG and WebP files.
  private func photos(_ root: String = "photos", count: Int = 10) throws {
    for (label, name) in ["a b", "dog"].enumerated() {
      for number in 0..<count {
        let image = picture(100 * label + number)
        let (suffix, bytes) =
          switch number % 3 {
          case 0: ("JPG", PictureTests.jpeg(image))
          case 1: ("png", try image.png())
          default: ("webp", PictureTests.webp(image.pixels, image.width, image.height))
          }
        try folder.write("\(root)/\(name)/\(number).\(suffix)", bytes)
      }
    }
  }

  @discardableResult
  private func importing(_ source: String, _ change: (inout ImageImport.Options) -> Void = { _ in }) throws
    -> ImageImport.Summary
  {
    var options = ImageImport.Options()
    options.threads = 2
    change(&options)
    return try ImageImport(options).run(folder.path + "/" + source, to: out)
  }

  private func refusal(_ source: String, _ change: (inout ImageImport.Options) -> Void = { _ in }) -> String {
    let text = message { try importing(source, change) } ?? "nothing was refused"
    #expect(!text.contains("\n") && !FileManager.default.fileExists(atPath: out))
    return text
  }

  /// Names of the imported files with their contents.
  private func files() throws -> [String: [UInt8]] {
    try Dictionary(
      uniqueKeysWithValues: FolderWalk(out).files.filter { $0 != "manifest.json" }.map {
        ($0, try readFile("\(out)/\($0)", limit: 1 << 20))
      })
  }

  @Test func classFolders() throws {
    try photos()
    let before = try FolderWalk(folder.path + "/photos").files.map {
      try FileContent.digest(of: "\(folder.path)/photos/\($0)")
    }
    let summary = try importing("photos")
    #expect((summary.layout, summary.classes, summary.train, summary.val) == ("class folders", 2, 18, 2))
    let files = try files()
    #expect(files.count == 20 && files["train/a b/1.png"] == nil || files["val/a b/1.png"] == nil)
    // PNG and lossless WebP come through as they are.
    for (name, bytes) in files where !name.contains("/0.") && !name.contains("/3.") {
      let number = try #require(Int(FilePath.stem(of: name)))
      guard number % 3 > 0 else { continue }
      #expect(try RGBImage(decoding: bytes, name: name) == picture((name.contains("dog") ? 100 : 0) + number))
    }
    #expect(
      try FolderWalk(folder.path + "/photos").files.map { try FileContent.digest(of: "\(folder.path)/photos/\($0)") }
        == before)
    // What is imported opens without a word about the manifest, and holds out what training on the source would.
    let opened = try ImageFolder(path: out)
    #expect(opened.notes.isEmpty)
    let direct = try ImageFolder(path: folder.path + "/photos")
    #expect(direct.notes.first?.contains("2 of 20 images, chosen by their content, are for validation") == true)
    func stems(_ folder: ImageFolder, _ split: DatasetSplit) throws -> Set<String> {
      Set(try folder[split].images.map { FilePath.name(of: FilePath.folder(of: $0.path)) + FilePath.stem(of: $0.path) })
    }
    for split in DatasetSplit.allCases { #expect(try stems(opened, split) == stems(direct, split)) }
  }

  @Test func resizing() throws {
    try folder.write("photos/a/wide.png", RGBImage.random(width: 100, height: 50).png())
    try folder.write("photos/a/tall.png", RGBImage.random(width: 40, height: 90, seed: 1).png())
    for number in 0..<3 { try folder.write("photos/b/\(number).png", picture(number).png()) }
    let summary = try importing("photos") { $0.size = 20 }
    #expect(summary.resized == 2)
    let images = try files().mapValues { try RGBImage(decoding: $0, name: "") }
    let sizes = Set(images.map { "\(FilePath.stem(of: $0.key)) \($0.value.width)x\($0.value.height)" })
    #expect(sizes.isSuperset(of: ["wide 40x20", "tall 20x45", "0 24x16"]))
    // The whole picture, by the filter that training uses.
    let wide = try #require(images.first { $0.key.contains("wide") }?.value)
    let source = RGBImage.random(width: 100, height: 50)
    let expected = referenceRender(source, ImageView(whole: source), side: 40, height: 20, .identity)
    for place in 0..<40 * 20 * 3 {
      #expect(abs(Double(wide.pixels[place]) - expected[place % 3 * 800 + place / 3]) <= 0.51)
    }
  }

  /// An archive gives the files that its folder gives.
  @Test(arguments: ["tar", "tar.gz"]) func archives(suffix: String) throws {
    try photos()
    try importing("photos")
    let expected = try files()
    try FileManager.default.removeItem(atPath: out)
    var tar = TarWriter()
    tar.add("./set/README", Array("words".utf8))
    for name in try FolderWalk(folder.path + "/photos").files.reversed() {
      tar.add("./set/" + name, try readFile("\(folder.path)/photos/\(name)", limit: 1 << 20))
    }
    try folder.write("set." + suffix, suffix == "tar" ? tar.file : PackedText.gzip(tar.file))
    try importing("set." + suffix)
    #expect(try files() == expected)
  }

  @Test func hostileArchives() throws {
    let png = try picture(1).png()
    for name in ["../x/1.png", "/etc/1.png", "a/../../1.png"] {
      var tar = TarWriter()
      tar.add("a/1.png", png)
      tar.add(name, png)
      try folder.write("evil.tar", tar.file)
      #expect(refusal("evil.tar").contains("entry 2 is '\(name)', which leads out of the archive"))
    }
    var link = TarWriter()
    link.add("a/1.png", [], type: "2", link: "/etc/passwd")
    try folder.write("link.tar", link.file)
    #expect(refusal("link.tar").contains("link.tar: empty"))
    // One that claims more than a hundred times its size, and one that was cut.
    var large = TarWriter()
    large.add("a/1.png", png, claimed: 80 << 20)
    try folder.write("bomb.tar", large.file)
    #expect(refusal("bomb.tar").contains("more than 67108864 bytes when unpacked"))
    var tar = TarWriter()
    for number in 0..<4 { tar.add("\(number % 2)/\(number).png", try RGBImage.random(width: 40, height: 40).png()) }
    try folder.write("cut.tar", Array(tar.file.prefix(tar.file.count / 2)))
    #expect(refusal("cut.tar").contains("damaged or cut"))
    try folder.write("none.tar", Array("no archive".utf8))
    #expect(refusal("none.tar").contains("cannot be read as an archive"))
  }

  @Test func badImages() throws {
    try photos()
    try folder.write("photos/dog/2.webp", Array("no picture".utf8))
    try folder.write("photos/a b/3.JPG", Array(PictureTests.jpeg(picture(3, width: 200, height: 200)).prefix(900)))
    let text = refusal("photos")
    #expect(text.contains("photos: 2 of 20 images cannot be read, the first ") && text.contains("a b/3.JPG"))
    #expect(text.contains("--on-bad-image skip"))
    // All others are done, and the same command goes on.
    try folder.write("photos/dog/2.webp", PictureTests.webp(picture(102).pixels, 24, 16))
    let summary = try importing("photos") { $0.skipsBadImages = true }
    #expect(summary.resumed == 18 && summary.bad.count == 1 && summary.train + summary.val == 19)
    #expect(!FileManager.default.fileExists(atPath: out + ".partial"))
    let manifest = String(decoding: try readFile(out + "/manifest.json", limit: 1 << 20), as: UTF8.self)
    #expect(manifest.contains("a b/3.JPG") && manifest.contains(#""license" : "not stated""#))
  }

  /// A process that died has left some files, and part of another and of its journal.
  @Test func goesOnAfterAnInterruption() throws {
    try photos()
    try folder.write("photos/dog/9.JPG", [])
    _ = refusal("photos")
    let journal = out + ".partial/.journal"
    let lines = String(decoding: try readFile(journal, limit: 1 << 20), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 20)
    let kept = lines.prefix(8).joined(separator: "\n") + "\n12 abc"
    try folder.write("out.partial/.journal", Array(kept.utf8))
    // Of the last one that the journal names the file is cut.
    let images = try FolderWalk(out + ".partial").files
    try folder.write("out.partial/" + images[6], [1, 2, 3])
    try folder.write("photos/dog/9.JPG", PictureTests.jpeg(picture(109)))
    var shown: [Int] = []
    var options = ImageImport.Options()
    options.threads = 1
    let summary = try ImageImport(options).run(folder.path + "/photos", to: out) { done, _ in shown.append(done) }
    #expect(summary.resumed == 6 && shown == Array(6...20))
    let resumed = try files()
    try FileManager.default.removeItem(atPath: out)
    try importing("photos")
    #expect(try files() == resumed)
    // Other options begin anew.
    try FileManager.default.removeItem(atPath: out)
    try folder.write("photos/dog/9.JPG", [])
    _ = refusal("photos")
    #expect(try importing("photos") { ($0.size, $0.skipsBadImages) = (12, true) }.resumed == 0)
  }

  /// An import that ended while it moved images into parts leaves nothing of them to one of another share, and what changed in the
  /// source meanwhile is made again.
  @Test func goesOnWithAnotherShare() throws {
    try photos()
    try folder.write("photos/dog/9.JPG", [])
    _ = refusal("photos")
    let images = try FolderWalk(out + ".partial").files.filter { $0.contains("dog/") }
    // Whichever part it goes to now, it is in the other one as well.
    for part in ["train", "val"] {
      let target = "\(out).partial/\(part)/dog"
      try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: "\(out).partial/\(images[0])", toPath: "\(target)/\(FilePath.name(of: images[0]))")
    }
    try FileManager.default.removeItem(atPath: "\(out).partial/\(images[0])")
    try folder.write("photos/dog/9.JPG", PictureTests.jpeg(picture(109)))
    try folder.write("photos/dog/1.png", picture(77).png())
    let summary = try importing("photos") { $0.validationShare = 0.5 }
    #expect(summary.resumed == 17 && summary.train + summary.val == 20)
    let files = try files()
    #expect(files.count == 20)
    let changed = try #require(files.first { $0.key.hasSuffix("dog/1.png") }?.value)
    #expect(try RGBImage(decoding: changed, name: "") == picture(77))
  }

  @Test func staysOutOfTheSource() throws {
    try photos()
    var options = ImageImport.Options()
    options.threads = 1
    let inside = folder.path + "/photos/small"
    let text = message { _ = try ImageImport(options).run(folder.path + "/photos", to: inside) }
    #expect(text?.contains("inside of \(folder.path)/photos, expected a folder outside of the source") == true)
    #expect(try FolderWalk(folder.path + "/photos").files.count == 20)
  }

  @Test func twoAtOnce() throws {
    try photos()
    let held = try ResumableFolder(for: out, key: "another")
    #expect(refusal("photos").contains("is being made by another process"))
    withExtendedLifetime(held) {}
  }

  @Test func divided() throws {
    try photos("set/training", count: 4)
    try photos("set/test", count: 2)
    let summary = try importing("set")
    #expect((summary.layout, summary.train, summary.val) == ("train and val folders", 8, 4))
    try FileManager.default.removeItem(atPath: out)
    #expect(
      refusal("set") { $0.validationShare = 0.2 }.contains("train and val folders, which say what is for validation"))
    try folder.write("set/test/cow/1.png", picture(1).png())
    #expect(refusal("set").contains("the classes of training and test differ (only in test: cow)"))
  }

  /// Tiny ImageNet's tree, and ImageNet's with each form of the official list.
  @Test func validationLists() throws {
    let classes = ["n01443537", "n02123045", "n07747607"]
    for (label, name) in classes.enumerated() {
      for number in 0..<3 {
        try folder.write(
          "tree/train/\(name)/images/\(name)_\(number).JPEG", PictureTests.jpeg(picture(10 * label + number)))
      }
      try folder.write("tree/train/\(name)/\(name)_boxes.txt", [65])
    }
    for number in 0..<4 {
      try folder.write("tree/val/images/val_\(number).JPEG", PictureTests.jpeg(picture(50 + number)))
    }
    let order = [2, 0, 1, 2]
    let forms = [
      order.enumerated().map { "val_\($0).JPEG\t\(classes[$1])\t0\t0\t9\t9" },
      order.enumerated().map { "val_\($0).JPEG \($1)" }.reversed(),
      ["ImageId,PredictionString"] + order.enumerated().map { "val_\($0),\(classes[$1]) 1 2 3 4" },
      order.map { classes[$0] },
    ]
    for form in forms {
      let list = try folder.write("list.txt", Array(form.joined(separator: "\n").utf8))
      let summary = try importing("tree") { $0.validationList = list }
      #expect((summary.train, summary.val) == (9, 4))
      let names = try files().keys.filter { $0.hasPrefix("val/") }.sorted()
      #expect(
        names == [
          "val/n01443537/images-val_1.png", "val/n02123045/images-val_2.png", "val/n07747607/images-val_0.png",
          "val/n07747607/images-val_3.png",
        ]
          || names == [
            "val/n01443537/val_1.png", "val/n02123045/val_2.png", "val/n07747607/val_0.png", "val/n07747607/val_3.png",
          ])
      try FileManager.default.removeItem(atPath: out)
    }
    func refused(_ lines: [String]) throws -> String {
      let list = try folder.write("list.txt", Array(lines.joined(separator: "\n").utf8))
      return refusal("tree") { $0.validationList = list }
    }
    #expect(try refused(["val_9.JPEG n01443537"]).contains("list.txt:1: the image val_9.JPEG, which is missing"))
    #expect(try refused(["val_0.JPEG n99999999"]).contains("list.txt:1: the class n99999999, expected one of the 3"))
    #expect(try refused(["val_0.JPEG n01443537"]).contains("no line for val/images/val_1.JPEG"))
    #expect(try refused(["n01443537"]).contains("1 classes, expected one for each of the 4 validation images"))
    // Tiny ImageNet's own list is found.
    try folder.write("tree/val/val_annotations.txt", Array(forms[0].joined(separator: "\n").utf8))
    #expect(try importing("tree").layout == "train folders and a list of validation images")
  }

  @Test func chosenClasses() throws {
    try photos()
    try folder.write("photos/cow/1.png", picture(7).png())
    let list = try folder.write("list.txt", Array("# words\n\na\tx\ndog  Canis familiaris # a comment\n".utf8))
    #expect(
      refusal("photos") { $0.classes = list }.contains(
        "list.txt:3: the class a, which \(folder.path)/photos lacks, expected some of its 3 classes"))
    try folder.write("list.txt", Array("cow\ndog Canis familiaris\n".utf8))
    try folder.write("photos/cow/2.png", picture(8).png())
    try importing("photos") {
      $0.classes = list
      $0.perClass = 4
    }
    #expect(try ImageFolder(path: out).classes == ["cow", "dog_Canis_familiaris"])
    #expect(try files().count == 6)
    try FileManager.default.removeItem(atPath: out)
    for (text, words) in [("", "no classes"), ("dog\n", "one class"), ("dog\ncow\ndog", "list.txt:3: dog again")] {
      try folder.write("list.txt", Array(text.utf8))
      #expect(refusal("photos") { $0.classes = list }.contains(words))
    }
  }

  @Test func whatIsNoSource() throws {
    try folder.write("one/cat/1.png", picture(1).png())
    #expect(refusal("one").contains("one class folder (cat), expected at least two classes"))
    try folder.write("loose/1.png", picture(1).png())
    #expect(refusal("loose").contains("1 images without class folders"))
    try FileManager.default.createDirectory(atPath: folder.path + "/empty", withIntermediateDirectories: true)
    #expect(refusal("empty").contains("empty: empty"))
    try folder.write("tiff/a/1.tiff", [1])
    #expect(refusal("tiff").contains("a .tiff file, which is not read, expected PNG, JPEG or WebP; convert"))
    try folder.write("parquet/train-0.parquet", [1])
    #expect(refusal("parquet").contains("a .parquet file, which is not read"))
    try folder.write("packed/train.zip", [1])
    #expect(refusal("packed").contains("name the archive itself, or unpack it"))
    #expect(refusal("absent").contains("no such file or folder"))
    for name in ["two/top/a/1.png", "two/top/b/1.png", "two/other/a/1.png", "two/other/c/1.png"] {
      try folder.write(name, picture(name.utf8.reduce(0) { $0 + Int($1) } % 256).png())
    }
    #expect(refusal("two").contains("folders of folders of images (such as other with a, c)"))
    try folder.write("two/top/1.png", picture(3).png())
    try photos("plain")
    #expect(refusal("plain") { $0.threads = 0 }.contains("--threads is 0, expected 1 to 4096"))
    #expect(
      refusal("plain") { $0.validationList = "l.txt" }.contains(
        "class folders, which need no list of validation images"))
    try folder.write("lines/a\nb/1.png", picture(1).png())
    try folder.write("lines/c/1.png", picture(2).png())
    #expect(refusal("lines").contains("a class called 'a\\nb', expected a name that a folder can have"))
    try photos("good")
    try folder.write("out/there.txt", [1])
    #expect(message { try importing("good") }?.contains("out: exists already") == true)
  }

  /// The lists that come with the project name classes of WordNet 3.0, as ImageNet does.
  @Test(
    .enabled(
      if: FileManager.default.fileExists(atPath: "/usr/share/wordnet/data.noun"), "needs the package wordnet-base"),
    arguments: [("imagenet-10", 10), ("imagenette", 10), ("imagewoof", 10), ("imagenet-100", 100)])
  func shippedLists(name: String, count: Int) throws {
    var words: [String: String] = [:]
    for line in try String(contentsOfFile: "/usr/share/wordnet/data.noun", encoding: .utf8).split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count > 4, fields[0].count == 8 { words["n\(fields[0])"] = String(fields[4]) }
    }
    let root = FilePath.folder(of: FilePath.folder(of: FilePath.folder(of: #filePath)))
    let list = try ClassList("\(root)/datasets/\(name).txt")
    #expect(list.names.count == count)
    for (wnid, full) in list.names { #expect(full == "\(wnid)_\(words[wnid] ?? "nothing in WordNet")") }
  }
}
