extension RunConfig {
  /// What nanoGPT, Hugging Face's Transformers, timm, Megatron-LM, DeepSpeed and Lightning call the keys. None of these is a key:
  /// an error names the one that is meant.
  static let synonyms: [KeySynonym] = [
    KeySynonym("seed", "", "random_seed", "manual_seed", "data_seed"),
    KeySynonym("dtype", "float32 or bf16", "torch_dtype", "precision", "mixed_precision", "amp", "bf16", "fp16"),
    KeySynonym("tensor.threads", "", "num_threads", "n_threads", "nproc"),

    KeySynonym(
      "optimizer.lr", "", "learning_rate", "max_lr", "base_lr", "peak_lr", "max_learning_rate", "blr"),
    KeySynonym("optimizer.weight_decay", "", "wd", "l2", "decay"),
    KeySynonym(
      "optimizer.clip", "", "grad_clip", "clip_grad", "max_grad_norm", "clip_grad_norm", "gradient_clipping",
      "gradient_clip_val"),
    KeySynonym("optimizer.beta1", "", "adam_beta1", "beta_1", "b1"),
    KeySynonym("optimizer.beta2", "", "adam_beta2", "beta_2", "b2"),
    KeySynonym("optimizer.beta1", "and optimizer.beta2", "betas", "opt_betas"),
    KeySynonym("optimizer.epsilon", "", "adam_epsilon", "adam_eps", "opt_eps", "eps"),
    KeySynonym("optimizer.kind", "", "optim", "opt", "optimizer_type", "optimizer_name"),
    KeySynonym(
      "schedule.warmup", "in steps", "warmup_steps", "warmup_iters", "num_warmup_steps", "lr_warmup_steps",
      "lr_warmup_iters", "warmup_epochs", "warmup_ratio", "warmup_t"),
    KeySynonym("schedule.minimum", "as a share of the peak", "min_lr", "lr_min", "min_learning_rate", "min_lr_ratio"),
    KeySynonym("schedule.kind", "", "lr_scheduler_type", "lr_scheduler", "lr_decay_style", "sched", "scheduler"),

    KeySynonym(
      "data.batch", "of all ranks together", "batch_size", "bs", "train_batch_size", "per_device_train_batch_size",
      "global_batch_size", "train_micro_batch_size_per_gpu"),
    KeySynonym(
      "train.accumulation", "micro-batches of a step", "gradient_accumulation_steps", "grad_accum", "grad_accum_steps",
      "accum_iter", "accumulate_grad_batches", "gradient_accumulation"),
    KeySynonym(
      "train.steps", "", "max_steps", "max_iters", "train_iters", "num_steps", "total_steps", "num_training_steps",
      "iters"),
    KeySynonym("train.epochs", "", "num_train_epochs", "num_epochs", "max_epochs", "n_epochs", "epoch"),
    KeySynonym("train.eval_every", "", "eval_interval", "eval_steps", "eval_freq", "val_check_interval"),
    KeySynonym("train.label_smoothing", "", "smoothing", "label_smoothing_factor"),
    KeySynonym("text.eval_tokens", "in tokens", "eval_iters"),
    KeySynonym("checkpoint.every", "", "save_steps", "save_interval", "save_every", "save_freq"),
    KeySynonym("checkpoint.keep", "", "save_total_limit", "save_top_k", "checkpoint_hist"),
    KeySynonym("data.workers", "", "num_workers", "dataloader_num_workers", "n_workers"),
    KeySynonym("data.jitter", "", "color_jitter"),
    KeySynonym("data.flip", "", "hflip", "horizontal_flip", "random_flip"),
    KeySynonym("data.validation_share", "", "val_split", "validation_split", "val_ratio", "test_size"),

    KeySynonym("model.layers", "", "n_layer", "n_layers", "num_layers", "num_hidden_layers", "depth", "num_blocks"),
    KeySynonym(
      "model.width", "", "n_embd", "n_embed", "hidden_size", "d_model", "embed_dim", "hidden_dim", "embedding_dim",
      "dim"),
    KeySynonym("model.heads", "", "n_head", "n_heads", "num_heads", "num_attention_heads", "nhead"),
    KeySynonym("model.kv_heads", "", "num_key_value_heads", "n_kv_heads", "n_kv_head", "num_query_groups"),
    KeySynonym("model.hidden", "", "intermediate_size", "ffn_hidden_size", "n_inner", "d_ff", "dim_feedforward"),
    KeySynonym("model.hidden", "a width, not a ratio", "mlp_ratio"),
    KeySynonym(
      "model.context", "", "block_size", "seq_length", "sequence_length", "seq_len", "max_seq_len", "context_length",
      "max_position_embeddings", "n_positions", "n_ctx", "max_length"),
    KeySynonym("model.vocabulary", "it follows the tokenizer", "vocab_size", "padded_vocab_size", "n_vocab"),
    KeySynonym("model.image", "", "image_size", "img_size", "input_size", "resolution"),
    KeySynonym("model.patch", "", "patch_size"),
    KeySynonym("model.classes", "it follows the data", "num_classes", "num_labels", "n_classes"),
    KeySynonym("model.activation", "", "hidden_act", "act_layer", "activation_function"),
    KeySynonym("model.norm", "", "norm_layer", "norm_type"),
    KeySynonym(
      "model.norm_epsilon", "", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps", "layernorm_epsilon"),
    KeySynonym("model.init_std", "", "initializer_range", "init_method_std"),
    KeySynonym(
      "model.stochastic_depth", "which drops whole branches; there is no dropout of single numbers", "dropout",
      "hidden_dropout", "attention_dropout", "resid_pdrop", "attn_pdrop", "embd_pdrop", "hidden_dropout_prob"),
    KeySynonym("model.stochastic_depth", "", "drop_path", "drop_path_rate"),
    KeySynonym("model.rotary_base", "", "rope_theta", "rotary_emb_base", "rope_base"),
    KeySynonym("model.tied_head", "", "tie_word_embeddings", "tie_embeddings", "weight_tying"),

    KeySynonym(
      "moe.experts", "", "num_experts", "n_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    KeySynonym(
      "moe.variant", "top2 for two experts per token", "top_k", "topk", "moe_router_topk", "num_experts_per_tok",
      "num_experts_per_token", "moe_top_k", "moe_k"),
    KeySynonym("moe.variant", "shared and scmoe have a shared expert", "n_shared_experts", "num_shared_experts"),
    KeySynonym("moe.capacity_factor", "", "expert_capacity_factor", "moe_expert_capacity_factor"),
    KeySynonym(
      "moe.balance_weight", "", "aux_loss_coef", "router_aux_loss_coef", "moe_aux_loss_coeff", "aux_loss_alpha",
      "load_balancing_loss_weight"),
    KeySynonym("moe.z_loss_weight", "", "router_z_loss_coef", "moe_z_loss_coeff", "z_loss"),
    KeySynonym("moe.gate_noise", "", "router_jitter_noise", "moe_input_jitter_eps", "jitter_noise"),
    KeySynonym("moe.hidden", "", "moe_intermediate_size", "moe_ffn_hidden_size", "expert_hidden_size"),
    KeySynonym("moe.every", "", "moe_layer_freq", "decoder_sparse_step"),
    KeySynonym("moe.renormalize", "", "norm_topk_prob", "norm_top_k_prob"),
    KeySynonym("parallel.expert", "", "expert_model_parallel_size", "ep_size", "expert_parallel_size"),
    KeySynonym("parallel.zero", "", "zero_stage", "use_distributed_optimizer"),
    KeySynonym("lora.rank", "", "lora_r", "lora_rank"),
    KeySynonym("tokenizer.path", "", "tokenizer_path", "vocab_file", "tokenizer_name"),
    KeySynonym("tokenizer.kind", "", "tokenizer_type"),
  ]
}
