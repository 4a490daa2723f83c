extension PublicSet {
  /// Sizes and checksums are those that the named source states for the address; none was made from a file that this project
  /// has fetched.
  static let shipped: [PublicSet] = [
    PublicSet(
      "cifar-10", "60,000 photographs of ten classes, 32 x 32", license: "none stated; free for research with citation",
      source: tensorFlow("cifar10"),
      files: [
        File(
          "cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", bytes: 170_052_171,
          .sha256("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"))
      ], next: images("FOLDER/cifar-10-binary.tar.gz")),
    PublicSet(
      "cifar-100", "60,000 photographs of 100 classes, 32 x 32",
      license: "none stated; free for research with citation", source: tensorFlow("cifar100"),
      files: [
        File(
          "cifar-100-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", bytes: 168_513_733,
          .sha256("58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"))
      ], next: images("FOLDER/cifar-100-binary.tar.gz")),
    PublicSet(
      "enwik8", "the first 100 million bytes of a dump of English Wikipedia of 2006, XML",
      license: "GFDL (Wikipedia of 2006)", source: huggingFace("enwik8"),
      files: [
        File(
          "enwik8.zip", "http://mattmahoney.net/dc/enwik8.zip", bytes: 36_445_475,
          .sha256("547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc"))
      ], next: text("enwik8.zip", "enwik8")),
    PublicSet(
      "fashion-mnist", "70,000 grey pictures of ten kinds of clothes, 28 x 28", license: "MIT (Zalando SE)",
      source: tensorFlow("fashion_mnist"),
      files: idx(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        [
          (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
          (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
          (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
          (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ]), next: images("FOLDER")),
    fastAI(
      "imagenette", "ten classes of ImageNet that differ, about 13,400 photographs, shorter side 160",
      "imagenette2-160.tgz",
      98_948_031, "88daccb09b6fce93f45e6c09ddeb269cce705549e6bff322092a2a5a11489863", "imagenette"),
    fastAI(
      "imagenette-320", "the same with a shorter side of 320", "imagenette2-320.tgz", 341_553_947,
      "5020a9130cea0348272823cb12d2db7e981c6f2afa3dce71ccd5b8013005c55e", "imagenette"),
    fastAI(
      "imagewoof", "ten breeds of dogs of ImageNet, about 13,000 photographs, shorter side 160", "imagewoof2-160.tgz",
      92_560_471, "663c22f69c2802d85e2a67103c017e047096702ffddf9149a14011b7002539bf", "imagewoof"),
    fastAI(
      "imagewoof-320", "the same with a shorter side of 320", "imagewoof2-320.tgz", 328_288_506,
      "4e4905ed7643120daaf9bf3b2ef7f3a7e8396d9bdaf254a38c6f01f618b4973d", "imagewoof"),
    PublicSet(
      "mnist", "70,000 handwritten digits, grey, 28 x 28", license: "CC BY-SA 3.0 (as keras-team/keras states)",
      source: tensorFlow("mnist"),
      files: idx(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        [
          (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
          (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
          (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
          (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ]), next: images("FOLDER")),
    PublicSet(
      "text8", "100 million letters and blanks of English Wikipedia of 2006", license: "GFDL (Wikipedia of 2006)",
      source:
        "dmlc/gluon-nlp, gluonnlp/data/corpora/large_text_compression_benchmark.py; the size in TensorFlow's word2vec_basic.py",
      files: [
        File(
          "text8.zip", "http://mattmahoney.net/dc/text8.zip", bytes: 31_344_016,
          .sha1("6c70299b93b7e1f927b42cd8f6ac1a31547c7a2e"))
      ], next: text("text8.zip", "text8")),
    PublicSet(
      "tiny-imagenet", "200 classes of ImageNet, 500 training and 50 validation photographs each, 64 x 64",
      license: "ImageNet's terms, non-commercial research and education only",
      source: "ContinualAI/avalanche, avalanche/benchmarks/datasets/tiny_imagenet/tiny_imagenet.py",
      files: [
        File(
          "tiny-imagenet-200.zip", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", bytes: 248_100_043,
          .md5("90528d7ca1a48142e341f4ef8d21d0de"))
      ], next: images("FOLDER/tiny-imagenet-200.zip")),
    PublicSet(
      "tiny-shakespeare", "40,000 lines of Shakespeare's plays in one text",
      license: "public domain (the text); none stated for the file", source: tensorFlow("tiny_shakespeare"),
      files: [
        File(
          "input.txt", "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
          bytes: 1_115_394, .sha256("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"))
      ], next: ["mmoe train --task lm --data FOLDER/input.txt"]),
    PublicSet(
      "wikitext-103", "28,595 articles of Wikipedia, word level, 103 million words",
      license: "CC BY-SA 3.0 and GFDL (Wikipedia)", source: huggingFace("wikitext"),
      files: [
        File(
          "wikitext-103-v1.zip", "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-v1.zip",
          bytes: 190_229_076, .sha256("242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590"))
      ], next: text("wikitext-103-v1.zip", "wikitext-103", "--documents headings ")),
    PublicSet(
      "wikitext-2", "720 articles of Wikipedia, word level; rare words are <unk>",
      license: "CC BY-SA 3.0 and GFDL (Wikipedia)", source: huggingFace("wikitext"),
      files: [
        File(
          "wikitext-2-v1.zip", "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-2-v1.zip",
          bytes: 4_475_746, .sha256("92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c"))
      ], next: text("wikitext-2-v1.zip", "wikitext-2", "--documents headings ")),
  ]

  private static func tensorFlow(_ name: String) -> String {
    "tensorflow/datasets, tensorflow_datasets/url_checksums/\(name).txt"
  }

  private static func huggingFace(_ name: String) -> String {
    "huggingface/datasets, datasets/\(name)/dataset_infos.json"
  }

  private static func fastAI(
    _ name: String, _ summary: String, _ file: String, _ bytes: Int, _ digest: String, _ list: String
  ) -> PublicSet {
    PublicSet(
      name, summary, license: "ImageNet's terms for the photographs, Apache 2.0 for the selection (fastai/imagenette)",
      source: tensorFlow(list),
      files: [File(file, "https://s3.amazonaws.com/fast-ai-imageclas/\(file)", bytes: bytes, .sha256(digest))],
      next: images("FOLDER/" + file))
  }

  /// The four files of MNIST's form, by sizes and SHA-256: training images and labels, then those of validation.
  private static func idx(_ folder: String, _ known: [(bytes: Int, digest: String)]) -> [File] {
    let names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
    return zip(names, known).map { name, known in
      File("\(name)-ubyte.gz", "\(folder)\(name)-ubyte.gz", bytes: known.bytes, .sha256(known.digest))
    }
  }

  /// - Parameter source: of an import.
  private static func images(_ source: String) -> [String] {
    [
      "mmoe data import images " + source + " --out FOLDER/images",
      "mmoe train --task imagenet-subset --data FOLDER/images",
    ]
  }

  private static func text(_ archive: String, _ text: String, _ options: String = "") -> [String] {
    [
      "unzip FOLDER/\(archive) -d FOLDER",
      "mmoe data tokenize FOLDER/" + text + " " + options + "--tokenizer bytes --out FOLDER/shards",
      "mmoe train --task lm --data FOLDER/shards",
    ]
  }
}
