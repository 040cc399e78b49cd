-- What an attested signing key proves, and the activation that its challenge was made of.
--
-- The law is 0001's. A binding has all three or none; an attestation's object stands where it always stood.

ALTER TABLE binding
    ADD COLUMN attestation_level text CHECK (attestation_level IN ('software', 'tee', 'strongbox')),
    ADD COLUMN attestation_user_verification text
        CHECK (attestation_user_verification IN ('', 'credential', 'biometric', 'biometric-or-credential')),
    ADD COLUMN activation_id uuid,
    ADD CHECK (num_nulls(attestation_level, attestation_user_verification, activation_id) IN (0, 3));
