//! [`FaultCode`]: why a job fails or a request is refused, and whose fault that is.

use serde::Serialize;

use super::codes;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The input is wrong; the same input will fail again. The user can mend it.
    Invalid,
    /// The input may be right, but this version cannot do it.
    Unsupported,
    /// The surroundings failed (disk, network, a missing library); trying again may help.
    Environment,
    /// The machine has too little of something; trying again may help, on a larger one or when less runs beside it.
    Exhausted,
    /// An error of this program. Trying again may help; reporting it does.
    Internal,
    /// The work was stopped on purpose.
    Cancelled,
}

impl FaultKind {
    /// Whether the same request may succeed later.
    pub const fn retryable(self) -> bool {
        matches!(self, FaultKind::Environment | FaultKind::Exhausted | FaultKind::Internal)
    }
}

codes! {
    /// Why a job fails, or why a file or a plan is refused.
    pub enum FaultCode: FaultKind {
        /// The URI's host has an address that may not be talked to, such as one of a private network.
        AddressNotAllowed("address_not_allowed", "The operator may allow it with `--sources-private`.", FaultKind::Invalid);
        /// The computation wrote a file that is larger than any result of such a model.
        ArtifactTooLarge("artifact_too_large", "Report it, with the model if it may be shown: no result is so much larger than its model.", FaultKind::Internal);
        /// A file of the result cannot be written.
        ArtifactUnwritable("artifact_unwritable", "See that the disk has room and the folder may be written to.", FaultKind::Environment);
        /// The `calibration.json` of an earlier job cannot be read, or is of another model.
        CalibrationRecordInvalid("calibration_record_invalid", "Give the file as ptqd wrote it, or the calibration data.", FaultKind::Invalid);
        /// The job was cancelled, or its server stopped.
        Cancelled("cancelled", "Nothing: it was asked for. Submit the job again if it is wanted after all.", FaultKind::Cancelled);
        /// The index of a checkpoint cannot be read, names files outside its folder, or disagrees with the shards.
        CheckpointIndexInvalid("checkpoint_index_invalid", "Write the checkpoint anew, or remove shards that an earlier one left.", FaultKind::Invalid);
        /// The data has no array of a name that was asked for.
        DatasetArrayMissing("dataset_array_missing", "Use one of the names that the message lists.", FaultKind::Invalid);
        /// The data file is damaged, or an array of it has an impossible shape.
        DatasetCorrupt("dataset_corrupt", "Compare the file's size and digest with its source's; it may be truncated.", FaultKind::Invalid);
        /// The data holds no samples.
        DatasetEmpty("dataset_empty", "Give a .npz, .npy or .safetensors file, a folder of them, or a folder of images.", FaultKind::Invalid);
        /// A folder of data holds images and arrays, or arrays of one name that do not fit together.
        DatasetFolderInconsistent("dataset_folder_inconsistent", "Give a folder of one kind; its files are joined along axis 0, and all else must be equal.", FaultKind::Invalid);
        /// The data is neither .npy, .npz nor .safetensors, nor a folder.
        DatasetFormatUnknown("dataset_format_unknown", "Save it with `numpy.savez(path, input_name=array)`.", FaultKind::Invalid);
        /// An image cannot be read, or has not the size of the others.
        DatasetImageInvalid("dataset_image_invalid", "Set `preprocess.resize` and `preprocess.crop`, so that all images end alike.", FaultKind::Invalid);
        /// The data has no array for an input of the model.
        DatasetInputMissing("dataset_input_missing", "Save an array under the input's name.", FaultKind::Invalid);
        /// The input that is to say what is padding has values besides 0 and 1.
        DatasetMaskInvalid("dataset_mask_invalid", "Name an input that is 1 for tokens and 0 for padding in `calibration.mask_input`, or `none`.", FaultKind::Invalid);
        /// The labels are not one integer for each sample.
        DatasetLabelsInvalid("dataset_labels_invalid", "Save the labels as int64 of shape `[samples]`.", FaultKind::Invalid);
        /// A value of the data is NaN or infinite.
        DatasetNotFinite("dataset_not_finite", "Repair or remove the sample that the message names.", FaultKind::Invalid);
        /// Preprocessing is asked for, and the data is arrays, not images.
        DatasetPreprocessNotApplicable("dataset_preprocess_not_applicable", "Remove `preprocess`: arrays are taken as they are.", FaultKind::Invalid);
        /// An array has no axis of samples, or arrays have different numbers of samples.
        DatasetSamplesDisagree("dataset_samples_disagree", "Give every array the same number of samples on axis 0.", FaultKind::Invalid);
        /// An array's shape does not fit the model's input.
        DatasetShapeMismatch("dataset_shape_mismatch", "Bring the array into the input's layout, NCHW for most, with samples on axis 0.", FaultKind::Invalid);
        /// An array of the data needs more memory than is allowed.
        DatasetTooLarge("dataset_too_large", "Use fewer samples; a few hundred representative ones are enough.", FaultKind::Invalid);
        /// The model's batch is fixed, and there are fewer samples.
        DatasetTooSmall("dataset_too_small", "Add samples, or export the model with a dynamic batch.", FaultKind::Invalid);
        /// An array's element type does not fit the model's input.
        DatasetTypeMismatch("dataset_type_mismatch", "Convert the array with `array.astype` to the type that the message names.", FaultKind::Invalid);
        /// An array's elements are not plain numbers.
        DatasetTypeUnsupported("dataset_type_unsupported", "Save it as float32 or int64.", FaultKind::Invalid);
        /// The data cannot be read.
        DatasetUnreadable("dataset_unreadable", "See that the path is right and may be read.", FaultKind::Invalid);
        /// An upload does not have the SHA-256 that was promised.
        DigestMismatch("digest_mismatch", "Send the file again; the digest is that of its bytes.", FaultKind::Invalid);
        /// A disk, or a quota, is full.
        DiskFull("disk_full", "Free some disk where the server or its store writes, or give it a larger one.", FaultKind::Exhausted);
        /// An upload has no bytes.
        EmptyUpload("empty_upload", "Send the file as the request's body.", FaultKind::Invalid);
        /// ONNX Runtime got no more memory while it loaded or ran the model.
        EngineOutOfMemory("engine_out_of_memory", "Use smaller batches, or a worker with more memory.", FaultKind::Exhausted);
        /// The library of ONNX Runtime is not there, or is not one that fits.
        EngineUnavailable("engine_unavailable", "Set `ORT_DYLIB_PATH` to libonnxruntime.so of the version that the message names.", FaultKind::Environment);
        /// A tensor's data is in another file, which is missing, too short, or outside the model's folder.
        ExternalDataInvalid("external_data_invalid", "Keep the data files below the folder of the model, as plain files.", FaultKind::Invalid);
        /// An operator of the model has no form for f16.
        HalfPrecisionUnsupported("half_precision_unsupported", "Leave `high_precision_dtype` at fp32.", FaultKind::Unsupported);
        /// The file was replaced while it was being read.
        InputChanged("input_changed", "Submit the job again once nobody writes there.", FaultKind::Environment);
        /// What arrived does not have the SHA-256 that the source promised.
        InputDamaged("input_damaged", "Submit the job again; if it stays so, compare the file with its source.", FaultKind::Environment);
        /// The source does not let the server read.
        InputDenied("input_denied", "See that the server's credentials are valid and may read the place.", FaultKind::Environment);
        /// There is nothing at the URI.
        InputNotFound("input_not_found", "Compare the name with that of the file, letter by letter.", FaultKind::Invalid);
        /// The input is larger than this server takes.
        InputTooLarge("input_too_large", "The operator sets the limit with `--max-input-mib`.", FaultKind::Invalid);
        /// An input comes too slowly: its server sends next to nothing, or all inputs together take too long.
        InputTooSlow("input_too_slow", "Bring it closer, to a bucket or by an upload; the operator sets the limits.", FaultKind::Environment);
        /// The source does not answer, or breaks off.
        InputUnreachable("input_unreachable", "See that the address is right, and reachable from the server.", FaultKind::Environment);
        /// A file cannot be read again for its digest.
        InputUnreadable("input_unreadable", "See that nobody removes the job's files while it runs.", FaultKind::Environment);
        /// An error of this program ended the work.
        InternalError("internal_error", "Report it, with the server's log under the request's or the job's id.", FaultKind::Internal);
        /// The digest of an upload cannot be read.
        InvalidDigest("invalid_digest", "Write it as `sha-256=:…:`, in Base64 (RFC 9530).", FaultKind::Invalid);
        /// The request cannot be carried out on this model.
        InvalidJob("invalid_job", "Mend what the objections in `errors` point at; they are listed all at once.", FaultKind::Invalid);
        /// An upload has a name that no file should have.
        InvalidName("invalid_name", "Use up to four parts between slashes, of letters, digits, dots, dashes and underscores.", FaultKind::Invalid);
        /// The computation would hold more in memory than it may.
        MemoryBudgetExceeded("memory_budget_exceeded", "The operator raises the memory budget of the worker.", FaultKind::Unsupported);
        /// Running the model would take more memory than is allowed, even one sample at a time.
        MemoryInsufficient("memory_insufficient", "Run it where more memory is free, or raise `--engine-memory-mib` if more may be used.", FaultKind::Exhausted);
        /// The model's configuration says that it is quantized.
        ModelAlreadyQuantized("model_already_quantized", "Quantize the model that it was made from.", FaultKind::Invalid);
        /// The model's config.json cannot be read.
        ModelConfigInvalid("model_config_invalid", "See that the file is whole, and JSON.", FaultKind::Invalid);
        /// The model file is damaged, or is not what its name says.
        ModelCorrupt("model_corrupt", "Compare the file's size and digest with its source's; it may be truncated.", FaultKind::Invalid);
        /// The file or folder is not a model of a kind that is known.
        ModelFormatUnknown("model_format_unknown", "Give one of the kinds that the hint lists.", FaultKind::Invalid);
        /// The model ended the process that computed it: the engine crashed on it.
        ModelCrashesEngine("model_crashes_engine", "Run the model in onnxruntime: if it ends there too, export it again; if not, report it.", FaultKind::Invalid);
        /// The model has an input of a type that cannot be fed.
        ModelInputUnsupported("model_input_unsupported", "Export the model with tensors of numbers as inputs.", FaultKind::Unsupported);
        /// The model contradicts itself: names, shapes and sizes do not fit together.
        ModelInvalid("model_invalid", "See what `onnx.checker` says, and export the model again.", FaultKind::Invalid);
        /// ONNX Runtime does not take the model.
        ModelRejected("model_rejected", "See that the model passes `onnx.checker` and runs in onnxruntime.", FaultKind::Invalid);
        /// A forward pass failed.
        ModelRunFailed("model_run_failed", "Run the same samples in onnxruntime to see whether the model takes them.", FaultKind::Invalid);
        /// The result would be larger than a protobuf message may be.
        ModelTooLarge("model_too_large", "Export the model with external data.", FaultKind::Unsupported);
        /// The model cannot be read.
        ModelUnreadable("model_unreadable", "See that the path is right, that no shard is missing, and that it may be read.", FaultKind::Invalid);
        /// ONNX Runtime has no implementation of an operator of the model, or does not know its version of ONNX.
        OperatorUnsupported("operator_unsupported", "Export the model with operators and an opset that this ONNX Runtime has on a CPU.", FaultKind::Unsupported);
        /// The model's opset is too old for the result.
        OpsetTooOld("opset_too_old", "Export the model again with the opset that the message names.", FaultKind::Unsupported);
        /// An operator of the model cannot be carried to the opset that the result needs.
        OpsetUpgradeUnsupported("opset_upgrade_unsupported", "Export the model again with that opset, or choose int8 per channel, which needs 13.", FaultKind::Unsupported);
        /// A file of the input has a name that would lead out of its folder.
        PathNotAllowed("path_not_allowed", "Rename the file, or leave it out of the folder.", FaultKind::Invalid);
        /// The file would run code when it is read: it holds more than tensors in plain containers.
        PickleRefused("pickle_refused", "Save `model.state_dict()`, or use safetensors.", FaultKind::Invalid);
        /// The model, or the version of a worker, is not the one that the job was divided with.
        PlanChanged("plan_changed", "Submit the job again once all workers have the same version.", FaultKind::Environment);
        /// The plan could not be made at the moment.
        PlanUnavailable("plan_unavailable", "Ask again after a while.", FaultKind::Environment);
        /// The server's scratch folder cannot be used.
        ScratchUnusable("scratch_unusable", "See that the server may write there, and that there is room.", FaultKind::Environment);
        /// The kernel does not give the isolation that the operator asked for.
        SandboxUnavailable("sandbox_unavailable", "Run the server on Linux 6.12 or later, or with `--isolation auto`; `ptqd doctor` says what is missing.", FaultKind::Environment);
        /// A PyTorch file holds no tensor, or much besides tensors.
        StateDictExpected("state_dict_expected", "Save `model.state_dict()`.", FaultKind::Invalid);
        /// The artifact store cannot be used, or does not take an artifact.
        StoreFailed("store_failed", "See that the store has room, and that the server's credentials are valid.", FaultKind::Environment);
        /// The threads of the computation cannot be started.
        ThreadsUnavailable("threads_unavailable", "Give the worker fewer threads, or a higher limit of processes.", FaultKind::Environment);
        /// The job ran longer than its limit.
        TimedOut("timed_out", "Raise `timeout_seconds`, or use fewer samples.", FaultKind::Invalid);
        /// A password or a signature stands in the URI, where it would be stored and shown.
        UriHasCredentials("uri_has_credentials", "Give the server credentials by its environment or its role, and the URI without them.", FaultKind::Invalid);
        /// The text is not a URI.
        UriMalformed("uri_malformed", "Write, for example, `s3://bucket/key`, `hf://owner/name` or `https://host/file`.", FaultKind::Invalid);
        /// The place is one that this tenant may not read from.
        UriNotAllowed("uri_not_allowed", "The operator opens places with `--allow-source`, and folders with `--file-root`.", FaultKind::Invalid);
        /// The URI's scheme is not one that can be read.
        UriSchemeUnsupported("uri_scheme_unsupported", "Give an s3, gs, az, https, hf, upload or file URI.", FaultKind::Invalid);
        /// A weight holds a NaN or an infinity.
        WeightNotFinite("weight_not_finite", "Repair the weight, or leave it as it is with `skip_names`.", FaultKind::Invalid);
        /// A weight cannot be quantized as the rule asks.
        WeightUnquantizable("weight_unquantizable", "Choose another granularity for it, or leave it as it is with `skip_names`.", FaultKind::Invalid);
        /// The job lost its worker in each of its attempts.
        WorkerLost("worker_lost", "It may need more memory than its workers have; their logs tell more.", FaultKind::Environment);
    }
}

impl FaultCode {
    /// Whose fault it is.
    pub const fn kind(self) -> FaultKind {
        self.facts()
    }

    /// Whether the same request may succeed later. A job that lost a worker in each attempt has been tried often enough.
    pub const fn retryable(self) -> bool {
        self.kind().retryable() && !matches!(self, FaultCode::WorkerLost)
    }
}
